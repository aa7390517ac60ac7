/** Whether nothing was said for the heartbeat's interval: one timer for the life of a watch. */
import { jittered } from '../edges.ts';

/** Timers of the same length share what Node keeps for them, so that there are not as many lengths as watches. */
const steps = 16;

export class Silence {
  readonly #timer: NodeJS.Timeout;
  isTooLong = false;
  /** Called once when it is. */
  onSilence: () => void;

  constructor(ms: number, onSilence: () => void) {
    this.onSilence = onSilence;
    // Up to a tenth early.
    const early = (jittered(steps) * ms) / (10 * steps);
    this.#timer = setTimeout(() => {
      this.isTooLong = true;
      this.onSilence();
    }, ms - early);
  }

  broken(): void {
    this.isTooLong = false;
    this.#timer.refresh();
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}
