/**
 * One watch: a snapshot, then changes for as long as the client stays.
 *
 *   waiting for freshness and a snapshot's turn
 *     → snapshot    SnapshotStarted, changes*, SnapshotCompleted
 *     → following   changes …; CaughtUp at the first end, and at the first end after one page was not enough
 *     → Reset       the read model was folded anew: waits a moment (all its watches do, each as long as chance has
 *                   it, so that they do not come at once), and goes on as above
 *     → ended       UNAVAILABLE (server stops), CANCELLED or DEADLINE_EXCEEDED (client), RESOURCE_EXHAUSTED (a client
 *                   that does not take its snapshot)
 *
 * All that a subscriber owns is a cursor and what is in the stream's buffer. While the client does not read,
 * nothing is fetched for it; when it reads again it gets rows as they are then. A snapshot holds a database
 * connection, so it is the one thing a client may not stall for long.
 *
 * `position_token` is in every message after which all changes up to it have been sent: SnapshotCompleted, CaughtUp,
 * Heartbeat, and the last of a run of changes.
 */
import { status } from '@grpc/grpc-js';
import type { Position } from '../../eventstore/port.ts';
import type { WatchHeader } from '../../gen/tallyback/common/v1/watch.ts';
import type { Columns, ReadModel, RowOf } from '../../projections/engine/read-model.ts';
import type { ChangeCursor, Filter, ReadModelReader } from '../../projections/engine/reading.ts';
import type { PositionTokens } from '../../application/position-token.ts';
import type { StreamCall } from '../call.ts';
import { pauseUpTo } from '../edges.ts';
import { ApiError, retryAfter } from '../errors.ts';
import type { ApiLimits } from '../limits.ts';
import { type ChangeFeed, OtherIncarnation } from './change-feed.ts';
import * as messages from './messages.ts';
import type { Semaphore } from './semaphore.ts';

const rowsPerMessage = 256;

/** What a snapshot is of. */
interface Moment {
  readonly through: Position;
  readonly incarnation: string;
}

const nothing = (): void => undefined;

export interface WatchParts<C extends Columns> {
  readonly model: ReadModel<C>;
  readonly feed: ChangeFeed<C>;
  readonly encodeRow: (row: RowOf<C>) => Uint8Array;
  readonly reader: ReadModelReader;
  readonly tokens: PositionTokens;
  readonly limits: ApiLimits;
  readonly snapshots: Semaphore;
}

/** Sends until the call's signal aborts; rejects with its reason. */
export async function watch<C extends Columns>(
  parts: WatchParts<C>,
  filter: Filter<C>,
  call: StreamCall,
): Promise<never> {
  const sender = new Sender(parts, call);
  for (;;) {
    const moment = await snapshot(parts, filter, call, sender);
    try {
      return await follow(parts, filter, call, sender, moment);
    } catch (error) {
      if (!(error instanceof OtherIncarnation)) throw error;
      await sender.send(messages.reset, undefined);
      await pauseUpTo(parts.limits.resetSpreadMs, call.signal);
    }
  }
}

/** Writes messages with their headers, no faster than the client reads. */
class Sender<C extends Columns> {
  readonly #parts: WatchParts<C>;
  readonly #call: StreamCall;
  #sequence = 0n;
  /** Called after every message. */
  onSent = nothing;

  constructor(parts: WatchParts<C>, call: StreamCall) {
    this.#parts = parts;
    this.#call = call;
  }

  async send(
    make: (header: WatchHeader) => Uint8Array,
    through: Position | undefined,
    signal: AbortSignal = this.#call.signal,
  ): Promise<void> {
    const positionToken = through ? this.#parts.tokens.encode(through) : '';
    const keepsUp = this.#call.write(make({ sequence: ++this.#sequence, positionToken }));
    this.onSent();
    if (!keepsUp) await this.#call.room(signal);
  }

  /** Rows in messages of bounded size; the last has the token. */
  async rows(rows: readonly RowOf<C>[], through: Position | undefined, signal?: AbortSignal): Promise<void> {
    for (let first = 0; first < rows.length; first += rowsPerMessage) {
      const some = rows.slice(first, first + rowsPerMessage).map(this.#parts.encodeRow);
      const last = first + rowsPerMessage >= rows.length;
      await this.send((header) => messages.changes(header, some), last ? through : undefined, signal);
    }
  }
}

const slowConsumer = (): ApiError =>
  new ApiError(status.RESOURCE_EXHAUSTED, 'SLOW_CONSUMER', 'the snapshot was not read in time', {
    details: [retryAfter(1_000)],
  });

async function snapshot<C extends Columns>(
  { reader, model, limits, snapshots }: WatchParts<C>,
  filter: Filter<C>,
  call: StreamCall,
  sender: Sender<C>,
): Promise<Moment> {
  const leave = await snapshots.enter(call.signal);
  const reading = new AbortController();
  const over = (): void => reading.abort(call.signal.reason);
  const late = (): void => reading.abort(slowConsumer());
  call.signal.addEventListener('abort', over, { once: true });
  const total = setTimeout(late, limits.snapshotMs);
  const stall = setTimeout(late, limits.snapshotStallMs);
  sender.onSent = () => stall.refresh();
  try {
    const { through, incarnation, pages } = await reader.snapshot(model, filter, reading.signal);
    await sender.send(messages.snapshotStarted, undefined, reading.signal);
    let count = 0;
    for await (const rows of pages) {
      reading.signal.throwIfAborted();
      // The database's time is not the client's fault.
      stall.refresh();
      count += rows.length;
      await sender.rows(rows, undefined, reading.signal);
    }
    reading.signal.throwIfAborted();
    await sender.send((header) => messages.snapshotCompleted(header, count), through, reading.signal);
    return { through, incarnation };
  } catch (error) {
    // However the reader puts it: it was stopped because of this.
    if (reading.signal.aborted) throw reading.signal.reason;
    throw error;
  } finally {
    clearTimeout(total);
    clearTimeout(stall);
    call.signal.removeEventListener('abort', over);
    // However it ended: the reader gives its connection back.
    reading.abort();
    leave();
  }
}

async function follow<C extends Columns>(
  { feed, limits }: WatchParts<C>,
  filter: Filter<C>,
  call: StreamCall,
  sender: Sender<C>,
  { through, incarnation }: Moment,
): Promise<never> {
  const { signal } = call;
  let changed = true;
  let silent = false;
  let wake = nothing;
  const subscription = feed.subscribe(filter, () => {
    changed = true;
    wake();
  });
  const silence = setTimeout(() => {
    silent = true;
    wake();
  }, limits.heartbeatMs);
  // One timer for the life of the watch: a refresh is cheap, a timer per change is not.
  sender.onSent = () => silence.refresh();
  const stop = (): void => wake();
  signal.addEventListener('abort', stop);

  try {
    let cursor: ChangeCursor = { position: through, key: undefined };
    let saidCaughtUp = false;
    for (;;) {
      signal.throwIfAborted();
      if (changed) {
        changed = false;
        const page = await subscription.changes(cursor, incarnation, rowsPerMessage);
        signal.throwIfAborted();
        cursor = page.end ? { position: page.through, key: undefined } : page.cursor;
        await sender.rows(page.rows, page.end ? page.through : undefined);
        if (!page.end) {
          changed = true;
          saidCaughtUp = false;
        } else if (!saidCaughtUp) {
          saidCaughtUp = true;
          await sender.send(messages.caughtUp, page.through);
        }
      } else if (silent) {
        silent = false;
        // Also a look of its own: a notification may have been lost.
        subscription.poke();
        await sender.send(messages.heartbeat, cursor.key === undefined ? cursor.position : undefined);
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    clearTimeout(silence);
    signal.removeEventListener('abort', stop);
    subscription.end();
  }
}
