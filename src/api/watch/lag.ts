/** Whether what is followed keeps up with the log: looked at now and then while somebody cares. */
import { comparePositions, type Position } from '../../eventstore/port.ts';

export interface LagOptions {
  /** The end of the log now. */
  readonly head: () => Promise<Position>;
  /** How far what is followed is. */
  readonly through: () => Promise<Position>;
  readonly clock: () => Date;
  /** Milliseconds between looks, and how long it may be behind without anybody being told. */
  readonly every: number;
  /** Called when it has fallen behind, and when it has caught up. */
  readonly changed: () => void;
}

export class Lag {
  readonly #options: LagOptions;
  #timer: NodeJS.Timeout | undefined;
  /** Where the log ended at some moment, while that has not been reached. */
  #target: { readonly head: Position; readonly at: number } | undefined;
  #since: number | undefined;

  constructor(options: LagOptions) {
    this.#options = options;
  }

  /** For how long it has been behind, in milliseconds; undefined if it is not. */
  get behindFor(): number | undefined {
    return this.#since === undefined ? undefined : this.#options.clock().getTime() - this.#since;
  }

  start(): void {
    this.#timer ??= setInterval(() => void this.#look(), this.#options.every);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#target = undefined;
    this.#since = undefined;
  }

  async #look(): Promise<void> {
    const { head, through, clock, changed } = this.#options;
    const before = this.#since;
    try {
      const at = clock().getTime();
      const end = await head();
      const reached = await through();
      if (!this.#timer) return;
      const missed = this.#target && comparePositions(reached, this.#target.head) < 0;
      this.#since = missed ? (this.#since ?? this.#target?.at) : undefined;
      if (!missed) this.#target = comparePositions(reached, end) < 0 ? { head: end, at } : undefined;
    } catch {
      // Who cannot be asked is behind as long as that lasts.
      if (this.#timer) this.#since ??= clock().getTime();
    }
    if ((before === undefined) !== (this.#since === undefined)) changed();
  }
}
