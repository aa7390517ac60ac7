/**
 * One subscriber: a cursor over the log, nothing more. No queue of its own, so a slow one costs no memory.
 *
 *   confirming  the tail is refreshed once, so that "caught up" speaks of a moment after the subscription began
 *   reading     the cursor is behind what the ring holds: pages from Postgres, the next one being fetched
 *               while the current one is handled, until the ring holds the next event (or the end is reached)
 *   joined      slices of the ring
 *   at the end  says `caughtUp` once, then sleeps until the tail moves
 *
 * A failing read is repeated for ever, with growing, jittered pauses. Ends only by the signal; throws
 * LogDamaged if the log has a hole, and EventStoreUnavailable when the store is closed under it.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  EventStoreUnavailable,
  type LogBatch,
  LogDamaged,
  type RecordedEvent,
  type SubscribeOptions,
} from '../port.ts';
import type { Edges } from '../edges.ts';
import { healed } from '../healed.ts';
import type { StoreLog } from '../log.ts';
import { onAbort } from '../signals.ts';
import type { LogTail } from './log-tail.ts';
import { fromPosition, toPosition, type Page } from './rows.ts';
import type { Wakeup } from '../wakeup.ts';

export interface SubscriptionContext {
  readonly tail: LogTail;
  /** A page of the events with after < position <= upTo. */
  readonly page: (after: number, upTo: number) => Promise<Page>;
  readonly edges: Edges;
  readonly log: StoreLog;
  /** Aborted when the store closes. */
  readonly closed: AbortSignal;
}

const defaultMaxBatch = 1_000;

/** The caller makes the tail followed for as long as the subscription lives. `wakeup` rings when it moves. */
export async function* subscription(
  options: SubscribeOptions,
  wakeup: Wakeup,
  context: SubscriptionContext,
): AsyncGenerator<LogBatch, void, undefined> {
  const { tail } = context;
  const maxBatch = options.maxBatch ?? defaultMaxBatch;
  const stop = new AbortController();
  const { signal } = stop;
  let cursor = fromPosition(options.after);
  let saidCaughtUp = false;

  const batch = (events: readonly RecordedEvent[]): LogBatch => {
    cursor += events.length;
    saidCaughtUp = cursor >= tail.last;
    // An empty batch answers the position that was asked for, in the form it was given.
    const through =
      events.at(-1)?.position ??
      (cursor === fromPosition(options.after) ? options.after : toPosition(cursor));
    return { events, through, caughtUp: saidCaughtUp };
  };

  const heal = <T>(work: () => Promise<T>): Promise<T | undefined> =>
    healed(work, signal, context, (error) => error instanceof LogDamaged);
  const end = (): void => {
    stop.abort();
    wakeup.ring();
  };
  const leave = onAbort([options.signal, context.closed], end);
  try {
    await heal(() => tail.refresh());
    while (!signal.aborted) {
      if (tail.holds(cursor + 1)) {
        yield batch(tail.from(cursor + 1, maxBatch));
      } else if (cursor < tail.last) {
        for await (const page of pagesUntilJoined(() => cursor, signal, context, heal)) {
          for (let at = 0; at < page.length && !signal.aborted; at += maxBatch) {
            yield batch(page.slice(at, at + maxBatch));
          }
        }
      } else if (!saidCaughtUp) {
        yield batch([]);
      } else {
        await wakeup.wait();
      }
    }
    if (!options.signal.aborted) throw new EventStoreUnavailable('The event store is closed');
  } finally {
    leave();
  }
}

/** Pages from the cursor on while the ring does not hold what comes next; one page is fetched ahead. */
async function* pagesUntilJoined(
  cursor: () => number,
  signal: AbortSignal,
  context: SubscriptionContext,
  heal: <T>(work: () => Promise<T>) => Promise<T | undefined>,
): AsyncGenerator<readonly RecordedEvent[], void, undefined> {
  const { tail } = context;
  const fetch = (after: number): Promise<Page | undefined> => heal(() => context.page(after, tail.last));

  let next: Promise<Page | undefined> | undefined;
  while (!signal.aborted && cursor() < tail.last && !tail.holds(cursor() + 1)) {
    const page = await (next ?? fetch(cursor()));
    if (!page) return;
    const after = cursor() + page.events.length;
    if (page.events.length === 0) {
      // All up to tail.last is in the log, by commit order: what does not come back is gone.
      throw new LogDamaged(`Position ${after + 1} is missing from the log`);
    }
    next = after < tail.last && !tail.holds(after + 1) ? fetch(after) : undefined;
    // Whether the page is still wanted shows later; until then its failure must not count as unhandled.
    next?.catch(() => undefined);
    // Its query leaves with the next turn. Whoever handles this page may keep the thread busy for as long as it
    // takes, and Postgres is to work meanwhile.
    if (next) await nextTurn();
    yield page.events;
  }
}
