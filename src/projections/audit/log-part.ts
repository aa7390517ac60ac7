/** Parts of the log, up to a position that somebody has already reached. */
import {
  comparePositions,
  type EventStore,
  type Position,
  type RecordedEvent,
} from '../../eventstore/port.ts';

/**
 * Events after one position and up to another, in batches. Everything up to the other is in the log already: so when a
 * reading that begins now is caught up, nothing is missing.
 */
export async function* eventsUpTo(
  store: Pick<EventStore, 'subscribe'>,
  after: Position,
  upTo: Position,
  signal: AbortSignal,
): AsyncGenerator<readonly RecordedEvent[], void, undefined> {
  if (comparePositions(after, upTo) >= 0) return;
  const done = new AbortController();
  const either = AbortSignal.any([signal, done.signal]);
  try {
    for await (const { events, through, caughtUp } of store.subscribe({
      after,
      signal: either,
      maxBatch: 2_000,
    })) {
      const beyond = events.findIndex(({ position }) => comparePositions(position, upTo) > 0);
      const wanted = beyond < 0 ? events : events.slice(0, beyond);
      if (wanted.length > 0) yield wanted;
      if (beyond >= 0 || caughtUp || comparePositions(through, upTo) >= 0) return;
    }
  } finally {
    done.abort();
  }
  // Ending quietly would pass off a part of the log as all of it.
  signal.throwIfAborted();
  throw new Error('the log ended before what had been read of it');
}

export interface LogPart {
  readonly events: readonly RecordedEvent[];
  /** Everything up to here is in it. */
  readonly through: Position;
}

/** The same, at least about so many events, if there are. */
export async function logPart(
  store: Pick<EventStore, 'subscribe'>,
  after: Position,
  upTo: Position,
  most: number,
  signal: AbortSignal,
): Promise<LogPart> {
  const events: RecordedEvent[] = [];
  for await (const batch of eventsUpTo(store, after, upTo, signal)) {
    for (const event of batch) events.push(event);
    const last = events.at(-1);
    if (last && events.length >= most) return { events, through: last.position };
  }
  return { events, through: comparePositions(after, upTo) >= 0 ? after : upTo };
}
