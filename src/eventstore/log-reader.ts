import type { EventStore, LogBatch, Position, RecordedEvent } from './port.ts';
import { onAbort } from './signals.ts';

/** Reads a log to its end, in batches of which parts may be taken. */
export class LogReader {
  readonly #batches: AsyncIterator<LogBatch>;
  readonly #ending = new AbortController();
  readonly #unlisten: () => void;
  #events: readonly RecordedEvent[] = [];
  #position: Position;
  #through: Position;
  #atEnd = false;

  constructor(store: EventStore, after: Position, signal: AbortSignal) {
    this.#position = after;
    this.#through = after;
    this.#unlisten = onAbort([signal], () => this.#ending.abort());
    this.#batches = store.subscribe({ after, signal: this.#ending.signal })[Symbol.asyncIterator]();
  }

  /** All before it is done with. */
  get position(): Position {
    return this.#position;
  }

  /** What comes next; nothing at the end of the log, and when the signal aborts. */
  async waiting(): Promise<readonly RecordedEvent[]> {
    while (this.#events.length === 0 && !this.#atEnd) {
      const { done, value } = await this.#batches.next();
      if (done === true) break;
      this.#events = value.events;
      this.#through = value.through;
      this.#atEnd = value.caughtUp;
      this.took(0);
    }
    return this.#events;
  }

  /** The first so many of these are done with. */
  took(count: number): void {
    const last = this.#events[count - 1];
    // Behind a log's last event there may be much that is not ours, and need not be read again.
    if (count === this.#events.length) this.#position = this.#through;
    else if (last) this.#position = last.position;
    this.#events = this.#events.slice(count);
  }

  async close(): Promise<void> {
    this.#unlisten();
    this.#ending.abort();
    await this.#batches.return?.();
  }
}
