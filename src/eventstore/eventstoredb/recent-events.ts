/**
 * The most recent of our events in log order, bounded in number and size: what subscribers that keep up are served
 * from. Positions are not dense, so the ring knows where it begins: it holds everything after `after` and up to
 * `through`.
 */
import { comparePositions, type Position, type RecordedEvent } from '../port.ts';

export interface RecentLimits {
  readonly events: number;
  /** Characters of data and metadata. */
  readonly length: number;
}

const sizeOf = (event: RecordedEvent): number => event.data.length + event.metadata.length;

export class RecentEvents {
  readonly #limits: RecentLimits;
  #events: RecordedEvent[] = [];
  /** Those before it in the array have been dropped; they are cut off now and then. */
  #first = 0;
  #length = 0;
  #after: Position;
  #through: Position;

  constructor(limits: RecentLimits, start: Position) {
    this.#limits = limits;
    this.#after = start;
    this.#through = start;
  }

  /** Everything up to here is accounted for. */
  get through(): Position {
    return this.#through;
  }

  /** Whether what lies after this position is held, as far as it is known. */
  reaches(position: Position): boolean {
    return comparePositions(position, this.#after) >= 0;
  }

  /** Adds the next event; one already accounted for is ignored. */
  push(event: RecordedEvent): void {
    if (comparePositions(event.position, this.#through) <= 0) return;
    this.#events.push(event);
    this.#length += sizeOf(event);
    this.#through = event.position;
    while (this.#events.length - this.#first > this.#limits.events || this.#length > this.#limits.length) {
      const dropped = this.#events[this.#first++];
      if (!dropped) break;
      this.#length -= sizeOf(dropped);
      this.#after = dropped.position;
    }
    if (this.#first > 64 && this.#first * 2 > this.#events.length) {
      this.#events = this.#events.slice(this.#first);
      this.#first = 0;
    }
  }

  /** None of ours lies between what is accounted for and this position. */
  passed(position: Position): void {
    if (comparePositions(position, this.#through) > 0) this.#through = position;
  }

  /** Up to `most` events after a position that it reaches. */
  from(position: Position, most: number): RecordedEvent[] {
    let [low, high] = [this.#first, this.#events.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const event = this.#events[middle];
      if (event && comparePositions(event.position, position) <= 0) low = middle + 1;
      else high = middle;
    }
    return this.#events.slice(low, low + most);
  }
}
