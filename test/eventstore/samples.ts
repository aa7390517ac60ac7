/** Small helpers shared by the event store's tests. */
import { randomUUID } from 'node:crypto';
import {
  comparePositions,
  type EventStore,
  EventStoreUnavailable,
  type LogBatch,
  type NewEvent,
  type Position,
  type RecordedEvent,
} from '../../src/eventstore/port.ts';

export const newStream = (prefix = 'test'): string => `${prefix}-${randomUUID()}`;

export const newEvent = (fields: Partial<NewEvent> = {}): NewEvent => ({
  id: randomUUID(),
  type: 'tested.v1',
  data: JSON.stringify({ n: 1, text: 'hello' }),
  metadata: JSON.stringify({ by: 'test' }),
  ...fields,
});

export const newEvents = (count: number): NewEvent[] => Array.from({ length: count }, () => newEvent());

/** Appends, which must succeed, and reads back what was stored, checking that the answer speaks of it. */
export async function append(
  store: EventStore,
  stream: string,
  expectedRevision: number,
  events: readonly NewEvent[],
): Promise<readonly RecordedEvent[]> {
  const result = await store.append(stream, expectedRevision, events);
  if (result.kind !== 'appended') throw new Error(`not appended: ${result.kind}`);
  const stored: RecordedEvent[] = [];
  for await (const event of store.readStream(stream, { from: expectedRevision + 1 })) {
    stored.push(event);
    if (stored.length === events.length) break;
  }
  const last = stored.at(-1);
  if (last?.revision !== result.revision || comparePositions(last.position, result.position) !== 0) {
    throw new Error(`the answer speaks of revision ${result.revision}, the stream of ${last?.revision}`);
  }
  return stored;
}

/** Asks again, as everybody must, while the outcome is unknown. */
export async function settled<T>(ask: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof EventStoreUnavailable) || attempt === 5) throw error;
    }
  }
}

export async function toArray<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/**
 * Subscribes and checks what every subscription promises of each batch, until `done` says so or the
 * subscription ends.
 */
export async function follow(
  store: EventStore,
  after: Position,
  done: (events: readonly RecordedEvent[], batch: LogBatch) => boolean,
  options: {
    readonly maxBatch?: number;
    readonly onBatch?: (batch: LogBatch) => Promise<void> | void;
    /** Only these count as events (others share the log). Order is checked over all. */
    readonly filter?: (event: RecordedEvent) => boolean;
  } = {},
): Promise<RecordedEvent[]> {
  const abort = new AbortController();
  const events: RecordedEvent[] = [];
  let last = after;
  const { maxBatch = 1_000 } = options;
  for await (const batch of store.subscribe({ after, signal: abort.signal, maxBatch })) {
    if (batch.events.length === 0 && !batch.caughtUp) throw new Error('an empty batch that says nothing');
    if (batch.events.length > maxBatch) throw new Error(`a batch of ${batch.events.length} events`);
    for (const event of batch.events) {
      if (comparePositions(event.position, last) <= 0) throw new Error('out of order');
      last = event.position;
      if (options.filter?.(event) ?? true) events.push(event);
    }
    if (comparePositions(batch.through, last) < 0) throw new Error('through lies before what was delivered');
    await options.onBatch?.(batch);
    if (done(events, batch)) abort.abort();
  }
  return events;
}

export const idsOf = (events: readonly NewEvent[]): string[] => events.map((event) => event.id);

/** Throws unless every stream's events come in unbroken order. */
export function checkStreams(
  events: readonly RecordedEvent[],
  firstRevisions = new Map<string, number>(),
): void {
  const next = new Map(firstRevisions);
  for (const event of events) {
    const expected = next.get(event.stream) ?? 0;
    if (event.revision !== expected) {
      throw new Error(`${event.stream}: revision ${event.revision} where ${expected} was due`);
    }
    next.set(event.stream, expected + 1);
  }
}

/** What a promise is rejected with. Listens at once, so that the test can do other things before it looks. */
export const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => {
      throw new Error(`not rejected, but resolved with ${JSON.stringify(value)}`);
    },
    (error: unknown) => error,
  );
