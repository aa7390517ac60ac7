/**
 * Rebuilds one read model in place: empties it and folds the log again, in big batches.
 *
 * Emptying, the checkpoint's way back to the start and its new epoch are one transaction, so no reader sees an
 * empty table with an old checkpoint, and a projector that is running is refused from then on; it stands by and
 * goes on when the replay is done (or has died). Until then queries see the table as far as it is.
 */
import pg from 'pg';
import { type EventStore, formatPosition, logStart, type Position } from '../../eventstore/port.ts';
import { type Held, readPosition, seeCheckpoint } from './checkpoint.ts';
import { Fenced, isPermanent } from './errors.ts';
import { follow } from './follow.ts';
import { followLog, follows, otherLog } from './followed-log.ts';
import type { ReadModel } from './read-model.ts';
import { checkpointName, ensureTables } from './schema.ts';
import { tableSql } from './table-sql.ts';
import { backoff, defaultDelays, type Delays, type Timing } from './timing.ts';
import { systemTiming } from './edges.ts';
import { withClient } from './transaction.ts';

export interface ReplayProgress {
  readonly position: Position;
  /** End of the log when the replay began. */
  readonly target: Position;
  /** Read so far. */
  readonly events: number;
  readonly eventsPerSecond: number;
  /** Seconds until `target`, if it goes on like this; undefined while that cannot be said. */
  readonly remainingSeconds: number | undefined;
}

export interface ReplayOptions {
  readonly store: EventStore;
  readonly pool: pg.Pool;
  readonly model: ReadModel;
  /** Aborted: the read model stays as far as it is, and a projector carries on from there. */
  readonly signal?: AbortSignal;
  /** After every commit. */
  readonly onProgress?: (progress: ReplayProgress) => void;
  readonly log?: (line: string) => void;
  readonly timing?: Timing;
  readonly delays?: Partial<Delays>;
}

export interface ReplayResult {
  readonly finished: boolean;
  readonly events: number;
  readonly seconds: number;
}

/** Throws FoldFailed, OtherLog, Fenced when the read model is claimed by somebody else meanwhile, and what Postgres says for good. */
export async function replayReadModel(options: ReplayOptions): Promise<ReplayResult> {
  const { store, pool, model, log = () => undefined, timing = systemTiming } = options;
  const signal = options.signal ?? new AbortController().signal;
  const delays = { ...defaultDelays, ...options.delays };
  const name = checkpointName(model);
  await followLog(pool, store, log, timing);
  await ensureTables(pool, [model], log);
  const target = await store.head();
  const started = timing.monotonic();
  let held = await resetReadModel(pool, model, store.id, signal, timing);
  let events = 0;
  let failures = 0;
  const seconds = (): number => (timing.monotonic() - started) / 1000;

  while (!signal.aborted) {
    try {
      await follow({
        store,
        pool,
        model,
        held,
        timing,
        delays,
        signal,
        until: target,
        maxEvents: 10_000,
        cachedRows: 100_000,
        isWanted: () => false,
        lead: () => () => undefined,
        took: (count) => (events += count),
        committed(position) {
          failures = 0;
          options.onProgress?.(progressOf(position, target, events, seconds()));
        },
      });
      return { finished: !signal.aborted, events, seconds: seconds() };
    } catch (error) {
      if (error instanceof Fenced || isPermanent(error)) throw error;
      log(`replay of ${model.name}: ${String(error)}; trying again`);
      await timing.sleep(backoff(timing, failures++, delays.longestRetry), signal);
      const seen = await seeCheckpoint(pool, name, delays.takeOver).catch(() => undefined);
      if (!seen) continue;
      if (seen.epoch !== held.epoch) throw new Fenced(`${name} has been claimed by somebody else`);
      held = seen;
    }
  }
  return { finished: false, events, seconds: seconds() };
}

function progressOf(position: Position, target: Position, events: number, seconds: number): ReplayProgress {
  // In some stores positions are bytes: good for a share of the way, not for a number of events.
  const done = Number(position.commit);
  const left = Number(target.commit) - done;
  return {
    position,
    target,
    events,
    eventsPerSecond: seconds > 0 ? events / seconds : 0,
    remainingSeconds: done > 0 ? (Math.max(0, left) * seconds) / done : undefined,
  };
}

/**
 * Empties a read model and claims it at the start of the log. Waits for readers that hold the table, a while at a
 * time. Throws OtherLog.
 */
export async function resetReadModel(
  pool: pg.Pool,
  model: ReadModel,
  log: string,
  signal: AbortSignal,
  timing: Timing = systemTiming,
): Promise<Held> {
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await withClient(pool, (client) => reset(client, model, log));
    } catch (error) {
      if (!(error instanceof pg.DatabaseError) || error.code !== lockNotAvailable) throw error;
      await timing.sleep(backoff(timing, attempt, 1_000), signal);
    }
  }
}

const lockNotAvailable = '55P03';

async function reset(client: pg.PoolClient, model: ReadModel, log: string): Promise<Held> {
  await client.query('begin');
  const { rowCount } = await client.query(`${follows('$1')} select from follows`, [log]);
  if (rowCount !== 1) throw otherLog();
  // Everybody who comes after us waits for us: better to give up than to let a slow reader stop all others.
  await client.query(`set local lock_timeout = '1s'`);
  // Table first, checkpoint second: see Line.
  await client.query(`truncate ${tableSql(model).table}`);
  const { rows } = await client.query<{ position: string; epoch: string }>(
    `update tallyback.checkpoint set position = $2, epoch = epoch + 1, updated_at = now()
     where name = $1 returning position, epoch::text`,
    [checkpointName(model), formatPosition(logStart)],
  );
  await client.query('commit');
  const row = rows[0];
  if (!row) throw new Error(`${checkpointName(model)} has no checkpoint`);
  return { position: readPosition(row.position), epoch: BigInt(row.epoch) };
}
