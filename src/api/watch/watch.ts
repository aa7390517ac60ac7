/**
 * One watch: a snapshot, then changes for as long as the client stays. What is watched (watched.ts) is the rows of a table,
 * a ranking or the log.
 *
 *   begin        a resume token → following; changes only → following; else → snapshot. A ranking always begins with a
 *                snapshot, the log with none
 *   snapshot     waits for its turn; SnapshotStarted, changes*, SnapshotCompleted → following
 *   following    changes …; CaughtUp at the first end; FellBehind when the client or the read model does not keep up,
 *                and CaughtUp when that is over; Heartbeat in silence
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
import { comparePositions, type Position } from '../../eventstore/port.ts';
import { ResetReason } from '../../gen/tallyback/common/v1/watch.ts';
import { jittered, pause, pauseUpTo } from '../edges.ts';
import { ApiError } from '../errors.ts';
import type { ApiLimits } from '../limits.ts';
import type { WatchCounts } from './counts.ts';
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

const nothing = (): void => undefined;

/** Sends until the outlet's signal aborts; rejects with its reason, or why else the watch ends. */
export async function watch(parts: WatchParts, plan: WatchPlan, outlet: Outlet): Promise<never> {
  const silence = new Silence(plan.settings.heartbeatMs);
  const sender = new Sender({
    outlet,
    stamp: (through) => parts.stamps.of(plan.scope, through && { position: through, incarnation }),
    stallMs: parts.limits.writeStallMs,
    sent: () => silence.broken(),
    counts: parts.counts,
  });
  let incarnation = '';
  let resumes = plan.settings.resumeFrom !== undefined;
  let resets = false;
  /** A snapshot's turn can be long in coming, and so can its next page. */
  const alive = (): void => {
    sender.sendNow(messages.heartbeat(plan.settings.heartbeatMs));
  };
  try {
    for (;;) {
      try {
        silence.onSilence = alive;
        const begun = resets ? undefined : await plan.watched.begin(plan.settings);
        const moment =
          begun ?? (await snapshot(parts, plan, outlet, sender, (taken) => (incarnation = taken)));
        incarnation = moment.incarnation;
        await follow(plan, outlet, sender, silence, moment, () => (resumes = false));
      } catch (error) {
        if (!(error instanceof OtherIncarnation)) throw error;
        if (plan.settings.failOnReset) throw outdated();
        const reason = resumes ? ResetReason.TOKEN_OUTDATED : ResetReason.REBUILT;
        parts.counts.resets++;
        await sender.send(messages.reset(reason));
        resumes = false;
        resets = true;
        await pauseUpTo(parts.limits.resetSpreadMs, outlet.signal);
      }
    }
  } catch (error) {
    if (error instanceof ApiError && error.reason === 'SLOW_CONSUMER') outlet.cutOff();
    throw error;
  } finally {
    silence.end();
  }
}

const outdated = (): ApiError =>
  new ApiError(
    status.OUT_OF_RANGE,
    'RESUME_TOKEN_OUTDATED',
    'the read model was folded anew: watch again without a resume token',
  );

/** When its turn has come. */
async function snapshot(
  parts: WatchParts,
  plan: WatchPlan,
  outlet: Outlet,
  sender: Sender,
  taken: (incarnation: string) => void,
): Promise<Moment> {
  const { snapshots, snapshotsWaiting } = parts.counts;
  const leave = await snapshotsWaiting.during(async () => plan.watched.turn?.(outlet.signal));
  try {
    return await snapshots.during(() => sendSnapshot(parts, plan, outlet, sender, taken));
  } finally {
    leave?.();
  }
}

async function sendSnapshot(
  { limits }: WatchParts,
  { watched }: WatchPlan,
  outlet: Outlet,
  sender: Sender,
  taken: (incarnation: string) => void,
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
    taken(incarnation);
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

async function follow(
  { watched, settings }: WatchPlan,
  outlet: Outlet,
  sender: Sender,
  silence: Silence,
  from: Moment,
  begun: () => void,
): Promise<never> {
  const { signal } = outlet;
  const { notCaughtUpBefore, conflationMs, heartbeatMs } = settings;
  let changed = true;
  let wake = nothing;
  const subscription = watched.subscribe({
    from,
    awaited: notCaughtUpBefore,
    wake() {
      changed = true;
      wake();
    },
  });
  const stop = (): void => wake();
  silence.onSilence = stop;
  signal.addEventListener('abort', stop);

  let said: 'nothing' | 'caught up' | 'fell behind' = 'nothing';
  /** Says whether what was sent is all there is, when that has become otherwise. */
  const tell = (through: Position | undefined, isAll: boolean): Promise<void> | undefined => {
    const { behindFor } = subscription;
    if (behindFor !== undefined || !through || !isAll) {
      // Who is just beginning has much to read, and is not behind for that.
      if (said === 'fell behind' || (said === 'nothing' && behindFor === undefined)) return undefined;
      said = 'fell behind';
      return sender.send(messages.fellBehind(behindFor));
    }
    if (said === 'caught up') return undefined;
    if (notCaughtUpBefore && comparePositions(through, notCaughtUpBefore) < 0) return undefined;
    said = 'caught up';
    return sender.send(messages.caughtUp, through);
  };

  const woken = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve;
    });
  /** Lets changes collect; the client hears meanwhile that the stream is alive. */
  const collect = async (): Promise<void> => {
    const window = { open: true };
    const close = (): void => {
      window.open = false;
      wake();
    };
    void pause(conflationMs, signal).then(close);
    while (window.open) {
      if (silence.isTooLong) await sender.send(messages.heartbeat(heartbeatMs));
      else await woken();
    }
    signal.throwIfAborted();
  };

  let inFlood = false;
  try {
    for (;;) {
      signal.throwIfAborted();
      if (!changed && !silence.isTooLong) {
        await woken();
        continue;
      }
      // In silence also a look of its own: a notification may have been lost.
      if (!changed) subscription.poke(heartbeatMs / 2);
      else if (said !== 'nothing' && !inFlood && conflationMs > 0) await collect();
      changed = false;
      // Nearly always all of this is done at once, without a turn for anybody else.
      const taken = subscription.take();
      const { events, through, more } = taken instanceof Promise ? await taken : taken;
      begun();
      signal.throwIfAborted();
      const sending = sender.sendAll(events, through);
      if (sending) await sending;
      const telling = tell(through, more === undefined);
      if (telling) await telling;
      inFlood = more === 'now';
      if (inFlood) changed = true;
      if (through && silence.isTooLong) await sender.send(messages.heartbeat(heartbeatMs), through);
    }
  } finally {
    signal.removeEventListener('abort', stop);
    subscription.end();
  }
}

/** Whether nothing was sent for the heartbeat's interval: one timer for the life of a watch. */
class Silence {
  readonly #timer: NodeJS.Timeout;
  isTooLong = false;
  onSilence = nothing;

  constructor(ms: number) {
    const early = jittered(ms / 10);
    this.#timer = setTimeout(() => {
      this.isTooLong = true;
      this.onSilence();
    }, ms - early);
  }

  broken(): void {
    this.isTooLong = false;
    this.#timer.refresh();
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}
