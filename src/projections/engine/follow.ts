/**
 * Follows the log with one read model, from a claimed checkpoint on, until the signal aborts or an end is reached.
 *
 *   events waiting                    take them in, at most `maxEvents` at a time
 *   handled, but changed nothing      save it: at once if somebody waits for it, else within the lazy delay
 *   nothing to do                     wait for events, a waiter, or the time to show that we live
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type pg from 'pg';
import type { EventStore, Position } from '../../eventstore/port.ts';
import { comparePositions } from '../../eventstore/port.ts';
import { type Held, releaseCheckpoint } from './checkpoint.ts';
import { Inbox } from './inbox.ts';
import { Line } from './line.ts';
import type { ReadModel } from './read-model.ts';
import { checkpointName } from './schema.ts';
import type { Delays, Timing } from './timing.ts';

export interface FollowOptions {
  readonly store: EventStore;
  readonly pool: pg.Pool;
  readonly model: ReadModel;
  readonly held: Held;
  readonly maxEvents: number;
  readonly cachedRows: number;
  readonly timing: Timing;
  readonly delays: Delays;
  readonly signal: AbortSignal;
  /** Whether somebody waits for a position after the first and up to the second. */
  readonly isWanted: (after: Position, upTo: Position) => boolean;
  /** Gets the doorbell of this loop; answers how to take it away again. */
  readonly lead: (wake: () => void) => () => void;
  readonly committed: (position: Position, rows: number) => void;
  readonly took: (events: number, caughtUp: boolean) => void;
  /** Ends when everything up to here is in the tables, or the log is read to its end; absent: never. */
  readonly until?: Position;
}

/** Throws FoldFailed, Fenced, and whatever store and database say. */
export async function follow(options: FollowOptions): Promise<void> {
  const { store, pool, model, held, maxEvents, timing, delays, signal, until } = options;
  const subscription = new AbortController();
  const abort = (): void => {
    subscription.abort();
    inbox.ring();
  };
  const inbox = new Inbox(
    store.subscribe({
      after: held.position,
      signal: subscription.signal,
      maxBatch: Math.min(maxEvents, 2_000),
    }),
    2 * maxEvents,
    timing,
  );
  let heardOf = timing.monotonic();
  let unsavedSince: number | undefined;
  const line = new Line({
    pool,
    model,
    held,
    cachedRows: options.cachedRows,
    clock: () => timing.monotonic(),
    settled(committed, rows) {
      if (committed) {
        heardOf = timing.monotonic();
        unsavedSince = undefined;
        options.committed(committed, rows);
      }
      inbox.ring();
    },
  });
  const unlead = options.lead(() => inbox.ring());
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  try {
    let done = until !== undefined && comparePositions(held.position, until) >= 0;
    while (!signal.aborted && !done) {
      line.check();
      const batches = inbox.take(maxEvents);
      if (batches.length > 0) {
        const fedAt = timing.monotonic();
        const changedRows = await line.feed(batches);
        const caughtUp = batches.at(-1)?.caughtUp ?? false;
        const events = batches.reduce((sum, batch) => sum + batch.events.length, 0);
        options.took(events, caughtUp);
        done = until !== undefined && (caughtUp || comparePositions(line.handled, until) >= 0);
        // Writing is to take about a quarter of the time at most: the busier the database, the more goes into one write.
        const pace = Math.min(delays.longestPace, Math.max(delays.pace, 4 * line.writeTime));
        const rest = fedAt + pace - timing.monotonic();
        if (changedRows > 0 && caughtUp && !done && rest > 0) await timing.sleep(rest, subscription.signal);
        // Folding can keep the thread busy; everybody else gets a turn.
        else await nextTurn();
      }
      if (line.unsaved) {
        unsavedSince ??= timing.monotonic();
        const left = unsavedSince + delays.lazyCheckpoint - timing.monotonic();
        if (left <= 0 || options.isWanted(line.committed, line.handled)) await line.save();
        else if (inbox.empty && !done) await inbox.wait(left);
      } else if (inbox.empty && !done) {
        const left = heardOf + delays.keepAlive - timing.monotonic();
        if (left > 0) await inbox.wait(left);
        else {
          await line.keepAlive();
          heardOf = timing.monotonic();
        }
      }
    }
    await line.save();
    await releaseCheckpoint(pool, checkpointName(model), held);
  } finally {
    subscription.abort();
    signal.removeEventListener('abort', abort);
    inbox.close();
    unlead();
    await line.close();
  }
}
