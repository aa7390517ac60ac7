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
  const news = (through: Position, caughtUp: boolean): boolean =>
    caughtUp && (!said.caughtUp || comparePositions(through, said.through) > 0);

  try {
    let confirmed = false;
    while (!signal.aborted) {
      if (!confirmed || !tail.reaches(cursor)) {
        // Confirmed, but the tail does not know yet where it begins: nothing to read, it will ring.
        if (confirmed && tail.through === undefined) {
          tail.check();
          await wakeup.wait();
          continue;
        }
        await heal(() => checkLength(cursor, context));
        let next = heal(() => context.page(cursor));
        for (;;) {
          const page: LogPage | undefined = await next;
          if (!page || signal.aborted) break;
          const { events, through, atEnd } = page;
          if (!atEnd) next = heal(() => context.page(through));
          // Whether the page is still wanted shows later; until then its failure must not count as unhandled.
          next.catch(() => undefined);
          for (let at = 0; at < events.length && !signal.aborted; at += maxBatch) {
            const slice = events.slice(at, at + maxBatch);
            const last = at + maxBatch >= events.length;
            yield batch(slice, last ? through : (slice.at(-1)?.position ?? cursor), last && atEnd);
          }
          if (signal.aborted) break;
          if (events.length === 0 && news(through, atEnd)) yield batch([], through, atEnd);
          cursor = through;
          if (atEnd) confirmed = true;
          if (atEnd || (confirmed && tail.reaches(cursor))) break;
        }
        continue;
      }
      const events = tail.from(cursor, maxBatch);
      const last = events.at(-1)?.position;
      const end = tail.through ?? cursor;
      if (last) {
        const all = events.length < maxBatch || comparePositions(last, end) >= 0;
        yield batch(events, all ? end : last, all && tail.live);
      } else if (news(end, tail.live) && comparePositions(end, cursor) >= 0) {
        yield batch([], end, true);
      } else {
        tail.check();
        await wakeup.wait();
      }
    }
    if (!options.signal.aborted) throw new EventStoreUnavailable('The event store is closed');
  } finally {
    stop.abort();
    leave();
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
