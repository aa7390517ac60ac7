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

  /** Rows and events that have been looked at: whichever costs more counts. */
  async spend(rows: number, events: number, signal: AbortSignal): Promise<void> {
    const { rowsPerSecond, eventsPerSecond } = this.#rates;
    const now = this.#timing.monotonic();
    const cost = 1_000 * Math.max(rows / rowsPerSecond, events / eventsPerSecond);
    this.#freeAt = Math.max(now, this.#freeAt) + cost;
    const wait = this.#freeAt - now;
    // Timers are for milliseconds: less is kept until it is more.
    if (wait >= 5) await this.#timing.sleep(wait, signal);
  }
}
