/** The event log itself, which all simulated stores open. Events are never lost, and have one order. */
import {
  type AppendResult,
  comparePositions,
  logStart,
  type NewEvent,
  noStream,
  type Position,
  type RecordedEvent,
} from '../../src/eventstore/port.ts';

/** How the store numbers its positions: one by one, or in bytes, with others' events in between. */
export type Numbering = 'dense' | 'bytes';

export class Log {
  readonly id: string;
  readonly events: RecordedEvent[] = [];
  readonly #random: () => number;
  readonly #numbering: Numbering;
  readonly #streams = new Map<string, RecordedEvent[]>();
  readonly #listeners = new Set<() => void>();
  #end: Position = logStart;

  constructor(id: string, random: () => number, numbering: Numbering) {
    this.id = id;
    this.#random = random;
    this.#numbering = numbering;
  }

  /** May be beyond the last event: of somebody else's. */
  get end(): Position {
    return this.#end;
  }

  stream(name: string): readonly RecordedEvent[] {
    return this.#streams.get(name) ?? [];
  }

  append(stream: string, expectedRevision: number, events: readonly NewEvent[]): AppendResult {
    const before = this.#streams.get(stream) ?? [];
    const last = before.at(-1)?.revision ?? noStream;
    const there = before.slice(expectedRevision + 1, expectedRevision + 1 + events.length);
    const same = there.at(-1);
    if (same && there.length === events.length && there.every(({ id }, n) => id === events[n]?.id)) {
      return { kind: 'appended', revision: same.revision, position: same.position };
    }
    if (last !== expectedRevision) return { kind: 'conflict', actualRevision: last };
    const stored = events.map((event, n): RecordedEvent => {
      const revision = last + 1 + n;
      return { ...event, stream, revision, position: this.#next(), recordedAt: new Date(0) };
    });
    this.#streams.set(stream, [...before, ...stored]);
    this.events.push(...stored);
    const position = this.#end;
    if (this.#numbering === 'bytes' && this.#random() < 0.1) this.#next();
    for (const listener of this.#listeners) listener();
    return { kind: 'appended', revision: last + events.length, position };
  }

  /** Number of the first event after a position. */
  indexAfter(position: Position): number {
    let [low, high] = [0, this.events.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const event = this.events[middle];
      if (event && comparePositions(event.position, position) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Calls back after every append; answers how to stop that. */
  onAppend(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #next(): Position {
    if (this.#numbering === 'dense') {
      const commit = this.#end.commit < 0n ? 1n : this.#end.commit + 1n;
      this.#end = { commit, prepare: commit };
    } else {
      const commit =
        (this.#end.commit < 0n ? 0n : this.#end.commit) + 100n + BigInt(Math.floor(this.#random() * 900));
      this.#end = { commit, prepare: commit - 50n };
    }
    return this.#end;
  }
}
