/** Keeps work to so much a second: whoever has done more waits for it. */
import type { Timing } from '../engine/timing.ts';

export interface Rates {
  readonly rowsPerSecond: number;
  readonly eventsPerSecond: number;
}

export class Pace {
  readonly #rates: Rates;
  readonly #timing: Pick<Timing, 'monotonic' | 'sleep'>;
  /** When what has been done is paid for. */
  #freeAt = -Infinity;

  constructor(rates: Rates, timing: Pick<Timing, 'monotonic' | 'sleep'>) {
    this.#rates = rates;
    this.#timing = timing;
  }

  /** Milliseconds that so much takes. */
  cost(rows: number, events: number): number {
    const { rowsPerSecond, eventsPerSecond } = this.#rates;
    return 1_000 * Math.max(rows / rowsPerSecond, events / eventsPerSecond);
  }

  /** Rows and events that have been looked at: whichever costs more counts. */
  async spend(rows: number, events: number, signal: AbortSignal): Promise<void> {
    const now = this.#timing.monotonic();
    this.#freeAt = Math.max(now, this.#freeAt) + this.cost(rows, events);
    const wait = this.#freeAt - now;
    // Timers are for milliseconds: less is kept until it is more.
    if (wait >= 5) await this.#timing.sleep(wait, signal);
  }
}
