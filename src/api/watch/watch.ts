/**
 * One watch: a snapshot, then changes for as long as the client stays. What is watched (watched.ts) is the rows of a table,
 * a ranking or the log.
 *
 *   begin        a resume token → following; changes only → following; else → snapshot. A ranking always begins with a
 *                snapshot, the log with none
 *   snapshot     waits for its turn; SnapshotStarted, changes*, SnapshotCompleted → following
 *   following    changes …; CaughtUp at the first end; FellBehind when the client or the read model does not keep up,
 *                and CaughtUp when that is over; Heartbeat in silence (follow.ts)
 *     → Reset    the read model was folded anew (or was meanwhile, for a resume token): waits a moment (all its watches
 *                do, each as long as chance has it, so that they do not come at once) → snapshot
 *     → ended    UNAVAILABLE (server stops), CANCELLED or DEADLINE_EXCEEDED (client), RESOURCE_EXHAUSTED (a client
 *                that takes nothing), OUT_OF_RANGE (instead of a Reset, if asked for)
 *
 * All that a subscriber owns is a cursor and what is in the stream's buffer. While the client does not read,
 * nothing is fetched for it; when it reads again it gets rows as they are then. A snapshot holds a database
 * connection (of a table), so it is the one thing a client may not stall for long.
 *
 * Tokens are in every message after which all changes up to them have been sent: SnapshotCompleted, CaughtUp,
 * Heartbeat, and the last of a run of changes.
 */
import { status } from '@grpc/grpc-js';
import type { Position } from '../../eventstore/port.ts';
import { ResetReason } from '../../gen/tallyback/common/v1/watch.ts';
import { pauseUpTo } from '../edges.ts';
import { ApiError } from '../errors.ts';
import type { ApiLimits } from '../limits.ts';
import type { WatchCounts } from './counts.ts';
import { follow } from './follow.ts';
import * as messages from './messages.ts';
import type { Outlet } from './outlet.ts';
import type { Moment } from './resume-token.ts';
import { Sender, slowConsumer } from './sender.ts';
import type { WatchSettings } from './settings.ts';
import type { Stamps } from './stamps.ts';
import { OtherIncarnation, type Watched } from './watched.ts';

/** What all watches of one kind share. */
export interface WatchParts {
  readonly stamps: Stamps;
  readonly limits: ApiLimits;
  readonly counts: WatchCounts;
}

/** What one client wants to see, and how. */
export interface WatchPlan {
  readonly watched: Watched;
  /** Names what is watched: see resume-token.ts. */
  readonly scope: string;
  readonly settings: WatchSettings;
}

/** Sends until the outlet's signal aborts; rejects with its reason, or why else the watch ends. */
export async function watch(parts: WatchParts, plan: WatchPlan, outlet: Outlet): Promise<never> {
  const { stamps, limits, counts } = parts;
  const { watched, scope, settings } = plan;
  const { heartbeatMs } = settings;
  const sender = new Sender({ outlet, stamps, counts, scope, heartbeatMs, stallMs: limits.writeStallMs });
  let resumes = settings.resumeFrom !== undefined;
  let resets = false;
  try {
    for (;;) {
      try {
        const begun = resets ? undefined : await watched.begin(settings);
        if (begun) sender.incarnation = begun.incarnation;
        const from = begun ?? (await snapshot(parts, plan, outlet, sender));
        await follow({
          watched,
          settings,
          sender,
          signal: outlet.signal,
          from,
          heard: () => (resumes = false),
        });
      } catch (error) {
        if (!(error instanceof OtherIncarnation)) throw error;
        if (settings.failOnReset) throw outdated();
        const reason = resumes ? ResetReason.TOKEN_OUTDATED : ResetReason.REBUILT;
        counts.resets++;
        await sender.send(messages.reset(reason));
        resumes = false;
        resets = true;
        await pauseUpTo(limits.resetSpreadMs, outlet.signal);
      }
    }
  } catch (error) {
    if (error instanceof ApiError && error.reason === 'SLOW_CONSUMER') outlet.cutOff();
    throw error;
  } finally {
    sender.end();
  }
}

const outdated = (): ApiError =>
  new ApiError(
    status.OUT_OF_RANGE,
    'RESUME_TOKEN_OUTDATED',
    'the read model was folded anew: watch again without a resume token',
  );

/** When its turn has come. */
async function snapshot(parts: WatchParts, plan: WatchPlan, outlet: Outlet, sender: Sender): Promise<Moment> {
  const { snapshots, snapshotsWaiting } = parts.counts;
  const leave = await snapshotsWaiting.during(async () => plan.watched.turn?.(outlet.signal));
  try {
    return await snapshots.during(() => sendSnapshot(parts, plan, outlet, sender));
  } finally {
    leave?.();
  }
}

async function sendSnapshot(
  { limits }: WatchParts,
  { watched }: WatchPlan,
  outlet: Outlet,
  sender: Sender,
): Promise<Moment> {
  const reading = new AbortController();
  const over = (): void => reading.abort(outlet.signal.reason);
  const late = (): void => reading.abort(slowConsumer('the snapshot'));
  outlet.signal.addEventListener('abort', over, { once: true });
  const total = setTimeout(late, limits.snapshotMs);
  /** The database's time is not the client's fault. */
  const send = async (event: Uint8Array, through?: Position): Promise<void> => {
    const stall = setTimeout(late, limits.snapshotStallMs);
    try {
      await sender.send(event, through, reading.signal);
    } finally {
      clearTimeout(stall);
    }
  };
  try {
    // Gone in the moment its turn came.
    outlet.signal.throwIfAborted();
    const { through, incarnation, pages } = await watched.snapshot(reading.signal);
    sender.incarnation = incarnation;
    await send(messages.snapshotStarted(incarnation));
    let count = 0;
    for await (const { rowCount, events } of pages) {
      reading.signal.throwIfAborted();
      count += rowCount;
      for (const event of events) await send(event);
    }
    reading.signal.throwIfAborted();
    await send(messages.snapshotCompleted(count), through);
    return { position: through, incarnation };
  } catch (error) {
    // However the reader puts it: it was stopped because of this.
    if (reading.signal.aborted) throw reading.signal.reason;
    throw error;
  } finally {
    clearTimeout(total);
    outlet.signal.removeEventListener('abort', over);
    // However it ended: the reader gives its connection back.
    reading.abort();
  }
}
