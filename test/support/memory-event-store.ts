/** An event store in memory, for tests of what stands on the port; it can be told to fail. */
import {
  type AppendResult,
  AppendTooLarge,
  comparePositions,
  type EventStore,
  EventStoreUnavailable,
  type LogBatch,
  logStart,
  type NewEvent,
  type Position,
  type RecordedEvent,
  type SubscribeOptions,
} from '../../src/eventstore/port.ts';

/** What the next append is to do instead of just working. */
export type AppendFault = 'lose-request' | 'lose-answer';

export class MemoryEventStore implements EventStore {
  readonly id: string = 'memory';
  readonly origin = undefined;
  readonly log: RecordedEvent[] = [];
  /** Taken one per append. */
  readonly faults: (AppendFault | undefined)[] = [];
  /** Most characters of data in one append. */
  largestAppend = Infinity;
  /** Whether an id can be used once only in the whole log, or once in a stream (as in EventStoreDB). */
  idsUniqueInLog = true;
  appends = 0;
  streamReads = 0;
  #wake = new Set<() => void>();

  async append(stream: string, expectedRevision: number, events: readonly NewEvent[]): Promise<AppendResult> {
    this.appends++;
    const fault = this.faults.shift();
    const length = events.reduce((sum, { data }) => sum + data.length, 0);
    if (length > this.largestAppend) throw new AppendTooLarge(`${length} characters`);
    await Promise.resolve();
    if (fault === 'lose-request') throw new EventStoreUnavailable('lost on the way');
    const result = this.#appendNow(stream, expectedRevision, events);
    if (fault === 'lose-answer') throw new EventStoreUnavailable('no answer');
    return result;
  }

  #appendNow(stream: string, expectedRevision: number, events: readonly NewEvent[]): AppendResult {
    const own = this.log.filter((event) => event.stream === stream);
    const there = own.slice(expectedRevision + 1, expectedRevision + 1 + events.length);
    if (there.length === events.length && there.every((event, n) => event.id === events[n]?.id)) {
      return appended(there);
    }
    if (own.length - 1 !== expectedRevision) return { kind: 'conflict', actualRevision: own.length - 1 };
    for (const { id } of this.idsUniqueInLog ? events : []) {
      const taken = this.log.find((event) => event.id === id);
      if (taken) return { kind: 'id-in-use', id, stream: taken.stream, revision: taken.revision };
    }
    const recorded = events.map((event, n): RecordedEvent => {
      const at = BigInt(this.log.length + n + 1);
      return {
        ...event,
        stream,
        revision: expectedRevision + 1 + n,
        position: { commit: at, prepare: at },
        recordedAt: new Date(Number(at)),
      };
    });
    this.log.push(...recorded);
    for (const wake of this.#wake) wake();
    return appended(recorded);
  }

  async *readStream(stream: string, options: { readonly from?: number } = {}): AsyncIterable<RecordedEvent> {
    this.streamReads++;
    await Promise.resolve();
    yield* this.log.filter((event) => event.stream === stream && event.revision >= (options.from ?? 0));
  }

  async *subscribe({ after, signal, maxBatch = 1_000 }: SubscribeOptions): AsyncIterable<LogBatch> {
    let through = after;
    while (!signal.aborted) {
      await Promise.resolve();
      const events = this.log.filter((e) => comparePositions(e.position, through) > 0).slice(0, maxBatch);
      through = events.at(-1)?.position ?? through;
      const caughtUp = comparePositions(through, this.#end()) >= 0;
      yield { events, through, caughtUp };
      // Asked again after the yield: more may have been stored while the subscriber had the batch.
      if (comparePositions(through, this.#end()) < 0 || signal.aborted) continue;
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#wake.delete(wake);
          signal.removeEventListener('abort', wake);
          resolve();
        };
        this.#wake.add(wake);
        signal.addEventListener('abort', wake);
      });
    }
  }

  async head(): Promise<Position> {
    return Promise.resolve(this.#end());
  }

  async close(): Promise<void> {
    return Promise.resolve();
  }

  #end(): Position {
    return this.log.at(-1)?.position ?? logStart;
  }
}

function appended(events: readonly RecordedEvent[]): AppendResult {
  const last = events.at(-1);
  if (!last) throw new Error('an append of no events');
  return { kind: 'appended', revision: last.revision, position: last.position };
}
