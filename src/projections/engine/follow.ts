/**
 * Follows the log with one generation of a read model, from a claimed checkpoint on, until the signal aborts or an end
 * is reached.
 *
 *   events waiting                    take them in, at most `maxEvents` at a time
 *   handled, but changed nothing      save it: at once if somebody waits for it, else within the lazy delay
 *   nothing to do                     wait for events or a waiter
 */
import type { EventStore, Position } from '../../eventstore/port.ts';
import { comparePositions, logStart } from '../../eventstore/port.ts';
import { Doorbell } from './doorbell.ts';
import { Inbox } from './inbox.ts';
import { Line } from './line.ts';
import { Parking } from './parking.ts';
import type { ReadModel } from './read-model.ts';
import type { Generation, Held, LineStorage, StoredRow } from './storage.ts';
import { openFolder, type FoldThreads } from './threaded-folder.ts';
import type { Delays, Timing } from './timing.ts';

/** How many times as long as its work one rests who yields. Reading and writing, which overlap, come on top. */
const restsFor = 9;
/** Events in a page of one who may have to yield, which folds one page at a time then: that holds the thread. */
const politeEvents = 500;

/** What is kept in memory, at most; and at least, before it is written. */
export interface FollowLimits {
  /** Events folded at a time. */
  readonly maxEvents: number;
  /** Rows of the read model. */
  readonly cachedRows: number;
  /** Rows that wait to be written. */
  readonly pendingRows: number;
  /**
   * Changed rows without which no write begins before the lazy delay is over (unless it yields); 1: whatever changes
   * is written.
   */
  readonly gatheredRows: number;
}

export interface FollowOptions {
  readonly store: EventStore;
  readonly storage: LineStorage;
  readonly model: ReadModel;
  readonly generation: Generation;
  readonly held: Held;
  readonly limits: FollowLimits;
  /** Absent: everything is folded in this thread. */
  readonly foldThreads?: FoldThreads | undefined;
  readonly timing: Timing;
  readonly delays: Delays;
  readonly signal: AbortSignal;
  /** Of the event whose failures are parked: see Parking. */
  readonly parkAt?: Position | undefined;
  /** Events taken in a second, at most; absent: as fast as it goes. */
  readonly eventsPerSecond?: number | undefined;
  /** Whether there is somebody to leave most of the thread's time to, now. */
  readonly yields?: (() => boolean) | undefined;
  /** Whether somebody waits for a position after the first and up to the second. */
  readonly isWanted: (after: Position, upTo: Position) => boolean;
  /** Whether somebody waits for it, or is told of every change. */
  readonly isFollowed: () => boolean;
  /** Gets the doorbell of this loop, for when somebody begins to; answers how to take it away again. */
  readonly lead: (wake: () => void) => () => void;
  readonly committed: (after: Position, through: Position, rows: readonly StoredRow[]) => void;
  readonly took: (events: number, caughtUp: boolean) => void;
  /** Ends when everything up to here is in the tables, or the log is read to its end; absent: never. */
  readonly until?: Position;
}

/** Answers how far everything is committed. Throws FoldFailed, Fenced, and whatever store and database say. */
export async function follow(options: FollowOptions): Promise<Position> {
  const { store, storage, model, generation, held, limits, timing, delays, signal, until } = options;
  const { eventsPerSecond = Infinity } = options;
  // A rate is kept by small steps: a big batch would go through at once, and be waited for afterwards.
  const maxEvents = Math.min(limits.maxEvents, Math.max(1, Math.ceil(eventsPerSecond / 4)));
  // Who rests most of the time has little lie about meanwhile, read or to be written: what outlives two collections of
  // the young generation is left to the long pauses of the old one.
  const yields = options.yields ?? (() => false);
  const mostFetched = (): number => (yields() ? 1 : 2 * maxEvents);
  const leastPending = (): number => (yields() ? 1 : Math.min(limits.gatheredRows, limits.pendingRows));
  const parking = new Parking(await storage.parkedScopes(generation), options.parkAt);
  const subscription = new AbortController();
  const abort = (): void => {
    subscription.abort();
    hurry.ring();
    inbox.ring();
  };
  const inbox = new Inbox(
    store.subscribe({
      after: held.position,
      signal: subscription.signal,
      maxBatch: Math.min(maxEvents, options.yields ? politeEvents : 2_000),
    }),
    mostFetched,
    timing,
  );
  const fromNothing = generation.state === 'building' && comparePositions(held.position, logStart) === 0;
  let unsavedSince: number | undefined;
  let live = false;
  const line = new Line({
    storage,
    model,
    generation,
    held,
    openFolder: (unwritten) =>
      openFolder(
        { storage, model, generation, parking, cachedRows: limits.cachedRows, fromNothing, unwritten },
        options.foldThreads,
      ),
    mostPending: limits.pendingRows,
    leastPending,
    clock: () => timing.monotonic(),
    committed(after, through, rows) {
      unsavedSince = undefined;
      options.committed(after, through, rows);
      inbox.ring();
    },
    failed: () => inbox.ring(),
  });
  const hurry = new Doorbell(timing);
  const unlead = options.lead(() => {
    hurry.ring();
    inbox.ring();
  });
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  try {
    let done = until !== undefined && comparePositions(held.position, until) >= 0;
    while (!signal.aborted && !done) {
      line.check();
      // Commands are answered, and who is waited for goes, first.
      if (!inbox.empty && live && !options.isFollowed()) await hurry.wait(delays.unfollowed);
      const batches = inbox.take(maxEvents);
      if (batches.length > 0) {
        const fedAt = timing.monotonic();
        const changedRows = await line.feed(batches);
        const caughtUp = batches.at(-1)?.caughtUp ?? false;
        const events = batches.reduce((sum, batch) => sum + batch.events.length, 0);
        options.took(events, caughtUp);
        done = until !== undefined && (caughtUp || comparePositions(line.handled, until) >= 0);
        live = caughtUp;
        // The busier the database, the more goes into one write.
        const pace = options.isFollowed()
          ? Math.min(delays.longestPace, Math.max(delays.pace, line.writeTime))
          : delays.longestPace;
        const due = changedRows > 0 && caughtUp ? pace : 0;
        const allowed = (1_000 * events) / eventsPerSecond;
        const rest = fedAt + Math.max(due, allowed) - timing.monotonic();
        if (rest > 0 && !done) await hurry.wait(rest);
        // Folding can keep the thread busy, and commands and queries run on it too.
        else if (yields() && !done)
          await timing.sleep(restsFor * (timing.monotonic() - fedAt), subscription.signal);
        else await timing.turn();
      }
      if (line.unsaved) {
        unsavedSince ??= timing.monotonic();
        const longest = options.isFollowed() ? delays.longestPace : delays.lazyCheckpoint;
        const left = unsavedSince + longest - timing.monotonic();
        if (left <= 0 || options.isWanted(line.committed, line.handled)) await line.save();
        else if (inbox.empty && !done) await inbox.wait(left);
      } else if (inbox.empty && !done) {
        await inbox.wait(delays.idle);
      }
    }
    await line.save();
    return line.committed;
  } finally {
    subscription.abort();
    signal.removeEventListener('abort', abort);
    inbox.close();
    unlead();
    await line.close();
  }
}
