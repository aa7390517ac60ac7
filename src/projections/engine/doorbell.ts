/** Waiting that others cut short. */
import type { Timing } from './timing.ts';

export class Doorbell {
  readonly #timing: Pick<Timing, 'sleep'>;
  #rung = false;
  #wake: (() => void) | undefined;

  constructor(timing: Pick<Timing, 'sleep'>) {
    this.#timing = timing;
  }

  /** Ends the next wait, or the present one. */
  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Until somebody has rung since the last wait, or that many milliseconds have passed. One waiter at a time. */
  async wait(ms: number): Promise<void> {
    if (!this.#rung) {
      const over = new AbortController();
      this.#wake = () => over.abort();
      await this.#timing.sleep(ms, over.signal);
      this.#wake = undefined;
    }
    this.#rung = false;
  }
}
