/**
 * When a filtered subscription hears of a checkpoint, and where. While it catches up that is decided page by page, and
 * a page without a match may set it to where the page began, which need not be an event's position: commit and prepare
 * differ then.
 */
import type { LogPosition } from './answers.ts';
import type { EventFilter } from './filter.ts';
import type { StoredEvent } from './stored-event.ts';

const pageSize = 32;
const beforeAll: LogPosition = { commit: -1, prepare: -1 };

export class Checkpoints {
  readonly #window: number;
  readonly #interval: number;
  /** The last event or checkpoint sent. */
  #reached: LogPosition;
  #announced: LogPosition | undefined;
  #pageStart: LogPosition;
  #next: LogPosition;
  #searchedOfPage = 0;
  #matchesOfPage = 0;
  #searched = 0;

  constructor({ window, checkpointInterval }: EventFilter, after: LogPosition | undefined) {
    this.#window = window;
    this.#interval = checkpointInterval;
    this.#reached = after ?? beforeAll;
    this.#pageStart = after ?? { commit: 0, prepare: 0 };
    this.#next = this.#pageStart;
  }

  /** An event was searched while catching up. */
  searched(event: StoredEvent, matched: boolean): LogPosition | undefined {
    this.#searchedOfPage++;
    this.#next = { commit: event.end, prepare: 0 };
    if (matched) {
      this.#matchesOfPage++;
      this.#reached = { commit: event.position, prepare: event.position };
    }
    if (this.#searchedOfPage < this.#window && this.#matchesOfPage < pageSize) return undefined;
    this.#turnPage();
    if (this.#searched < this.#interval) return undefined;
    this.#searched %= this.#interval;
    return this.#announce(this.#reached);
  }

  /** Nothing is left to search for now. */
  caughtUp(): LogPosition | undefined {
    this.#turnPage();
    this.#searched = 0;
    if (this.#reached.commit < 0) this.#reached = { commit: 0, prepare: 0 };
    return this.#announce(this.#reached);
  }

  /** An event was searched as it was written. */
  searchedLive(event: StoredEvent): LogPosition | undefined {
    this.#searched++;
    if (this.#searched < this.#interval) return undefined;
    this.#searched = 0;
    return { commit: event.position, prepare: event.position };
  }

  /** Returns whether a live checkpoint is news. */
  sentLive(at: LogPosition): boolean {
    this.#reached = at;
    return this.#announce(at) !== undefined;
  }

  /** Catching up begins again, after what was sent. */
  fellBehind(after: LogPosition): LogPosition | undefined {
    this.#reached = after;
    this.#pageStart = after;
    this.#next = after;
    this.#searched = 0;
    return this.#announce(after);
  }

  #turnPage(): void {
    if (isBefore(this.#reached, this.#pageStart) && isBefore(this.#pageStart, this.#next)) {
      this.#reached = this.#pageStart;
    }
    this.#searched += this.#searchedOfPage;
    this.#pageStart = this.#next;
    this.#searchedOfPage = 0;
    this.#matchesOfPage = 0;
  }

  #announce(at: LogPosition): LogPosition | undefined {
    if (this.#announced && !isBefore(this.#announced, at)) return undefined;
    this.#announced = at;
    return at;
  }
}

const isBefore = (a: LogPosition, b: LogPosition): boolean =>
  a.commit < b.commit || (a.commit === b.commit && a.prepare < b.prepare);
