/**
 * The most recent events in log order, without a hole, bounded in number and size. Position n lives in slot
 * n modulo the capacity: finding a subscriber's next event is one division.
 */
import type { RecordedEvent } from '../port.ts';

export interface RingLimits {
  readonly events: number;
  /** Characters of data and metadata, roughly the bytes held. */
  readonly length: number;
}

export class EventRing {
  readonly #limits: RingLimits;
  readonly #slots: (RecordedEvent | undefined)[];
  #first = 1;
  #last = 0;
  #length = 0;

  constructor(limits: RingLimits) {
    this.#limits = limits;
    this.#slots = new Array<RecordedEvent | undefined>(limits.events).fill(undefined);
  }

  /** Position of the last event known to the ring (held or not); everything up to it is accounted for. */
  get last(): number {
    return this.#last;
  }

  /** Forgets all events; the next one has position last + 1. */
  reset(last: number): void {
    this.#slots.fill(undefined);
    this.#first = last + 1;
    this.#last = last;
    this.#length = 0;
  }

  /** Adds events in log order; those already passed are ignored. Throws if the first new one is not last + 1. */
  push(events: readonly RecordedEvent[]): void {
    for (const event of events) {
      const position = Number(event.position.commit);
      if (position <= this.#last) continue;
      if (position !== this.#last + 1) {
        throw new Error(`Position ${position} pushed after ${this.#last}`);
      }
      if (position - this.#first >= this.#limits.events) this.#dropFirst();
      this.#slots[position % this.#limits.events] = event;
      this.#last = position;
      this.#length += sizeOf(event);
      while (this.#length > this.#limits.length) this.#dropFirst();
    }
  }

  holds(position: number): boolean {
    return position >= this.#first && position <= this.#last;
  }

  /** Up to `most` events from that position on; empty if the ring does not hold it. */
  from(position: number, most: number): RecordedEvent[] {
    const events: RecordedEvent[] = [];
    if (!this.holds(position)) return events;
    const end = Math.min(this.#last, position + most - 1);
    for (let at = position; at <= end; at++) {
      const event = this.#slots[at % this.#limits.events];
      if (event) events.push(event);
    }
    return events;
  }

  #dropFirst(): void {
    const slot = this.#first % this.#limits.events;
    const event = this.#slots[slot];
    this.#slots[slot] = undefined;
    if (event) this.#length -= sizeOf(event);
    this.#first++;
  }
}

const sizeOf = (event: RecordedEvent): number => event.data.length + event.metadata.length;
