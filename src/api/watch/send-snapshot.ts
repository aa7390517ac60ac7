/** The snapshot a watch begins with, or begins again with: all there is at one moment. */
import type { Position } from '../../eventstore/port.ts';
import type { ApiLimits } from '../limits.ts';
import type { WatchCounts } from './counts.ts';
import * as messages from './messages.ts';
import type { Outlet } from './outlet.ts';
import type { Moment } from './resume-token.ts';
import { type Sender, slowConsumer } from './sender.ts';
import type { Watched } from './watched.ts';

export interface SnapshotParts {
  readonly limits: ApiLimits;
  readonly counts: WatchCounts;
}

/** Sends it when its turn has come, and answers of which moment it is. */
export async function sendSnapshot(
  parts: SnapshotParts,
  watched: Watched,
  outlet: Outlet,
  sender: Sender,
): Promise<Moment> {
  const { snapshots, snapshotsWaiting } = parts.counts;
  const leave = await snapshotsWaiting.during(() =>
    outlet.ending.during(async (signal) => watched.turn?.(signal)),
  );
  try {
    return await snapshots.during(() => sendNow(parts, watched, outlet, sender));
  } finally {
    leave?.();
  }
}

async function sendNow(
  { limits }: SnapshotParts,
  watched: Watched,
  outlet: Outlet,
  sender: Sender,
): Promise<Moment> {
  const { ending } = outlet;
  const reading = new AbortController();
  const over = (): void => reading.abort(ending.over);
  const late = (): void => reading.abort(slowConsumer('the snapshot'));
  ending.listen(over);
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
    ending.throwIfOver();
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
    ending.forget(over);
    // However it ended: the reader gives its connection back.
    reading.abort();
  }
}
