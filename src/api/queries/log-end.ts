/** Where the event log ends: exactly, for those who have to get there, and about, to say how far behind answers are. */
import { EventStoreUnavailable, type Position } from '../../eventstore/port.ts';

/** How old what is known may be where about is enough, in milliseconds. */
const recentMs = 100;
/** How long an answer is held up to say how far behind it is, in milliseconds. */
const patienceMs = 20;

export class LogEnd {
  readonly #head: () => Promise<Position>;
  readonly #now: () => number;
  /** Undefined: it could not be found out. */
  #known: Position | undefined;
  #knownAt = -Infinity;
  #asking: { readonly answer: Promise<void>; readonly since: number } | undefined;

  constructor(head: () => Promise<Position>, clock: () => Date) {
    this.#head = head;
    this.#now = () => clock().getTime();
  }

  /**
   * The end of the log at some moment after the call. EventStoreUnavailable when nobody says so in that time; the
   * signal's reason when it aborts.
   */
  async exactly(withinMs: number, signal: AbortSignal): Promise<Position> {
    const since = this.#now();
    const end = await within(withinMs, this.#head(), signal);
    signal.throwIfAborted();
    if (end === undefined) throw new EventStoreUnavailable('the log does not say in time where it ends');
    if (since >= this.#knownAt) this.#know(end, since);
    return end;
  }

  /** The end of the log a tenth of a second ago, or later; undefined when that cannot be said at once. */
  async recently(): Promise<Position | undefined> {
    const now = this.#now();
    if (Math.abs(now - this.#knownAt) <= recentMs) return this.#known;
    this.#asking ??= { answer: this.#ask(now), since: now };
    const { answer, since } = this.#asking;
    // A log that does not answer holds up those who ask first, not everybody.
    if (now - since > patienceMs) return undefined;
    return within(
      patienceMs,
      answer.then(() => this.#known),
    );
  }

  async #ask(since: number): Promise<void> {
    try {
      this.#know(await this.#head(), since);
    } catch {
      this.#know(undefined, this.#now());
    } finally {
      this.#asking = undefined;
    }
  }

  #know(end: Position | undefined, at: number): void {
    this.#known = end;
    this.#knownAt = at;
  }
}

/** Undefined when it takes longer, or the signal aborts. */
function within<T>(ms: number, asked: Promise<T>, signal?: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
      resolve(undefined);
    };
    const timer = setTimeout(stop, ms);
    signal?.addEventListener('abort', stop, { once: true });
    asked.then(resolve, reject).finally(stop);
  });
}
