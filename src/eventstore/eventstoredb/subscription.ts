/**
 * One subscriber: a cursor over the log, nothing more. No queue of its own, so a slow one costs no memory.
 *
 *   reading     pages, the next one being fetched while the current one is handled, until the end of the log is
 *               reached once (so that "caught up" speaks of a moment after the subscription began) and the tail's ring
 *               reaches the cursor
 *   following   slices of the ring
 *   at the end  says `caughtUp` once, then sleeps until the tail moves
 *
 * A failing read is repeated for ever, with growing, jittered pauses. Ends only by the signal; throws
 * EventStoreUnavailable when the store is closed under it, and LogDamaged.
 */
import type { Edges } from '../edges.ts';
import { healed } from '../healed.ts';
import type { StoreLog } from '../log.ts';
import {
  comparePositions,
  EventStoreUnavailable,
  formatPosition,
  logStart,
  type LogBatch,
  LogDamaged,
  type Position,
  type RecordedEvent,
  type SubscribeOptions,
} from '../port.ts';
import { onAbort } from '../signals.ts';
import type { Wakeup } from '../wakeup.ts';
import type { LiveTail } from './live-tail.ts';
import type { LogPage } from './reader.ts';

export interface SubscriptionContext {
  readonly tail: LiveTail;
  readonly page: (after: Position) => Promise<LogPage>;
  /** Position of the last event, whoever wrote it. */
  readonly end: () => Promise<Position>;
  readonly edges: Edges;
  readonly log: StoreLog;
  /** Aborted when the store closes. */
  readonly closed: AbortSignal;
}

const defaultMaxBatch = 1_000;
/** Milliseconds before a node is asked again that had nothing new, though there must be something. */
const behindPause = 50;

/** The log ends before the position that is to be gone on from. */
class LogTooShort extends Error {
  override readonly name = 'LogTooShort';
}

/** The caller follows the tail for as long as the subscription lives. `wakeup` rings when it moves. */
export async function* subscription(
  options: SubscribeOptions,
  wakeup: Wakeup,
  context: SubscriptionContext,
): AsyncGenerator<LogBatch, void, undefined> {
  const { tail } = context;
  const maxBatch = options.maxBatch ?? defaultMaxBatch;
  const stop = new AbortController();
  const { signal } = stop;
  let cursor = options.after;
  let said = { through: cursor, caughtUp: false };

  const leave = onAbort([options.signal, context.closed], () => {
    stop.abort();
    wakeup.ring();
  });
  const heal = <T>(work: () => Promise<T>): Promise<T | undefined> =>
    healed(work, signal, context, (error) => error instanceof LogDamaged);
  const batch = (events: readonly RecordedEvent[], through: Position, caughtUp: boolean): LogBatch => {
    cursor = through;
    said = { through, caughtUp };
    return { events, through, caughtUp };
  };
  const isNews = (through: Position, caughtUp: boolean): boolean =>
    caughtUp && (!said.caughtUp || comparePositions(through, said.through) > 0);

  let confirmed = false;
  const joined = (): boolean => confirmed && tail.reaches(cursor);

  try {
    while (!signal.aborted) {
      if (joined()) {
        const events = tail.from(cursor, maxBatch);
        const last = events.at(-1)?.position;
        const end = tail.through ?? cursor;
        if (last) {
          const all = events.length < maxBatch || comparePositions(last, end) >= 0;
          yield batch(events, all ? end : last, all && tail.live);
        } else if (comparePositions(end, cursor) >= 0 && isNews(end, tail.live)) {
          yield batch([], end, true);
        } else {
          await waitFor(tail, wakeup);
        }
      } else if (confirmed && tail.through === undefined) {
        // Where the tail begins is not known yet: nothing to read until then.
        await waitFor(tail, wakeup);
      } else {
        const before = cursor;
        for await (const { events, through, atEnd } of pages(cursor, heal, context)) {
          for (let at = 0; at < events.length && !signal.aborted; at += maxBatch) {
            const part = events.slice(at, at + maxBatch);
            const isLast = at + maxBatch >= events.length;
            yield batch(part, isLast ? through : (part.at(-1)?.position ?? cursor), isLast && atEnd);
          }
          if (signal.aborted) break;
          if (events.length === 0 && isNews(through, atEnd)) yield batch([], through, atEnd);
          cursor = through;
          confirmed ||= atEnd;
          if (atEnd || joined()) break;
        }
        // The node that answers is behind the one that the tail began on.
        if (cursor === before && tail.through !== undefined && !joined())
          await context.edges.pause(behindPause, signal);
      }
    }
    if (!options.signal.aborted) throw new EventStoreUnavailable('The event store is closed');
  } finally {
    stop.abort();
    leave();
  }
}

/** Waits for news of the tail, unless there can be none. */
async function waitFor(tail: LiveTail, wakeup: Wakeup): Promise<void> {
  tail.check();
  await wakeup.wait();
}

/** The log from a position to its end, and what has come since, for as long as it is asked for; one page ahead. */
async function* pages(
  after: Position,
  heal: <T>(work: () => Promise<T>) => Promise<T | undefined>,
  context: SubscriptionContext,
): AsyncGenerator<LogPage, void, undefined> {
  await heal(() => checkLength(after, context));
  let next = heal(() => context.page(after));
  for (;;) {
    const page: LogPage | undefined = await next;
    if (!page) return;
    if (!page.atEnd) next = heal(() => context.page(page.through));
    // Whether the page is still wanted shows later; until then its failure must not count as unhandled.
    next.catch(() => undefined);
    yield page;
    if (page.atEnd) return;
  }
}

/**
 * A server asked for what lies beyond its end answers as if there were nothing, and later with whatever gets those
 * positions. The log of a store that has been reset, or of a node that is behind, must not be taken for the right one.
 */
async function checkLength(cursor: Position, context: SubscriptionContext): Promise<void> {
  if (comparePositions(cursor, logStart) <= 0) return;
  const end = await context.end();
  if (comparePositions(end, cursor) >= 0) return;
  throw new LogTooShort(
    `the log ends at ${formatPosition(end)}, before ${formatPosition(cursor)}, up to which it has been handled`,
  );
}
