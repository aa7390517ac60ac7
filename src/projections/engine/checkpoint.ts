/**
 * Checkpoints: how far a projection or policy is, and who may say so.
 *
 * Whoever starts claims the checkpoint by raising its epoch. From then on every write names the epoch and the
 * position it comes from; a writer that was paused, cut off or replaced names others than those stored and is
 * refused by the database, whatever it believes. `updated_at` only helps a standby to guess that nobody writes.
 *
 * Only who follows the same log as the database may claim (`log` is the id of its event store): see followed-log.ts.
 */
import type pg from 'pg';
import { formatPosition, logStart, parsePosition, type Position } from '../../eventstore/port.ts';
import { OtherVersion } from './errors.ts';
import { followedLog, follows, otherLog } from './followed-log.ts';
import { ensureCheckpointTable } from './schema.ts';

/** A claimed checkpoint. */
export interface Held {
  readonly position: Position;
  readonly epoch: bigint;
}

/** A checkpoint as anybody may see it. */
export interface Seen extends Held {
  readonly version: number;
  /** Nobody has moved it, or said that it lives, for the time asked about. */
  readonly stale: boolean;
  /** Id of the event store that it speaks of. */
  readonly log: string | undefined;
}

export function readPosition(text: string): Position {
  const position = parsePosition(text);
  if (!position) throw new TypeError(`"${text}" in tallyback.checkpoint is not a position`);
  return position;
}

const held = (row: { position: string; epoch: string }): Held => ({
  position: readPosition(row.position),
  epoch: BigInt(row.epoch),
});

/** Takes a checkpoint over from whoever has it. Throws OtherVersion if it is not of this version, and OtherLog. */
export async function claimCheckpoint(
  pool: pg.Pool,
  name: string,
  version: number,
  log: string,
): Promise<Held> {
  const { rows } = await pool.query<{ position: string; epoch: string }>(
    `${follows('$3')}
     update tallyback.checkpoint set epoch = epoch + 1, updated_at = now()
     where name = $1 and version = $2 and exists (select from follows) returning position, epoch::text`,
    [name, version, log],
  );
  const row = rows[0];
  if (!row && (await followedLog(pool)) !== log) throw otherLog();
  if (!row) throw new OtherVersion(`${name} is not of version ${version} (any more)`);
  return held(row);
}

/** Takes a checkpoint over if it is still what was seen; undefined if somebody was faster. */
export async function takeOverCheckpoint(
  pool: pg.Pool,
  name: string,
  seen: Seen,
  log: string,
): Promise<Held | undefined> {
  const { rows } = await pool.query<{ position: string; epoch: string }>(
    `${follows('$4')}
     update tallyback.checkpoint set epoch = epoch + 1, updated_at = now()
     where name = $1 and epoch = $2 and position = $3 and exists (select from follows)
     returning position, epoch::text`,
    [name, seen.epoch, formatPosition(seen.position), log],
  );
  return rows[0] && held(rows[0]);
}

/** Throws OtherVersion if there is none. */
export async function seeCheckpoint(pool: pg.Pool, name: string, staleAfter: number): Promise<Seen> {
  const { rows } = await pool.query<{
    position: string;
    epoch: string;
    version: number;
    stale: boolean;
    log: string | null;
  }>(
    `select position, epoch::text, version, updated_at < now() - $2 * interval '1 millisecond' as stale,
            (select store_id from tallyback.followed_log) as log
     from tallyback.checkpoint where name = $1`,
    [name, staleAfter],
  );
  const row = rows[0];
  if (!row) throw new OtherVersion(`${name} is gone`);
  return { ...held(row), version: row.version, stale: row.stale, log: row.log ?? undefined };
}

/** Moves a claimed checkpoint (or, without moving, says that its writer lives); false: fenced. */
export async function moveCheckpoint(
  pool: pg.Pool,
  name: string,
  from: Held,
  to: Position,
): Promise<boolean> {
  const { rowCount } = await pool.query({
    name: 'checkpoint-move',
    text: `update tallyback.checkpoint set position = $4, updated_at = now()
           where name = $1 and epoch = $2 and position = $3`,
    values: [name, from.epoch, formatPosition(from.position), formatPosition(to)],
  });
  return rowCount === 1;
}

/** Lets a standby take over at once. */
export async function releaseCheckpoint(pool: pg.Pool, name: string, { epoch }: Held): Promise<void> {
  await pool.query(`update tallyback.checkpoint set updated_at = 'epoch' where name = $1 and epoch = $2`, [
    name,
    epoch,
  ]);
}

/** Tells operators why nothing moves any more. Does nothing if somebody else has the checkpoint by now. */
export async function recordFailure(
  pool: pg.Pool,
  name: string,
  epoch: bigint,
  failedAt: Position | undefined,
  error: string,
): Promise<void> {
  await pool.query(
    `update tallyback.checkpoint set failed_epoch = epoch, failed_at_position = $3, error = $4
     where name = $1 and epoch = $2`,
    // Postgres cannot hold NUL in text.
    [name, epoch, failedAt ? formatPosition(failedAt) : null, error.replaceAll('\0', '\uFFFD')],
  );
}

/** A checkpoint as operators want to know it. */
export interface CheckpointReport {
  readonly name: string;
  readonly position: Position;
  /** Why its writer has stopped for good, and at which event, if it was one. */
  readonly failure: { readonly error: string; readonly at: Position | undefined } | undefined;
}

export async function reportCheckpoints(pool: pg.Pool): Promise<readonly CheckpointReport[]> {
  const { rows } = await pool.query<{
    name: string;
    position: string;
    at: string | null;
    error: string | null;
  }>(
    `select name, position, failed_at_position as at, case when failed_epoch = epoch then error end as error
     from tallyback.checkpoint order by name`,
  );
  return rows.map(({ name, position, at, error }) => ({
    name,
    position: readPosition(position),
    failure: error === null ? undefined : { error, at: at === null ? undefined : readPosition(at) },
  }));
}

/** A checkpoint for something that is not a read model, such as "policy:order-rebate". */
export interface OpenCheckpoint {
  /** Everything up to it is done. */
  readonly position: Position;
  /** Moves it on; false when another one has opened the same checkpoint since: stop. */
  advance(to: Position): Promise<boolean>;
}

/**
 * Claims a checkpoint, making it at the start of the log if there is none. `publisher` hears of every advance.
 * Throws OtherLog.
 */
export async function openCheckpoint(
  pool: pg.Pool,
  name: string,
  log: string,
  publisher?: { publish(name: string, position: Position): void },
): Promise<OpenCheckpoint> {
  await ensureCheckpointTable(pool);
  const { rows } = await pool.query<{ position: string; epoch: string }>(
    `${follows('$3')}
     insert into tallyback.checkpoint as c (name, version, position, epoch, updated_at)
     select $1, 1, $2, 1, now() from follows
     on conflict (name) do update set epoch = c.epoch + 1, updated_at = now()
     returning position, epoch::text`,
    [name, formatPosition(logStart), log],
  );
  if (!rows[0]) throw otherLog();
  let at = held(rows[0]);
  publisher?.publish(name, at.position);
  return {
    get position() {
      return at.position;
    },
    async advance(to) {
      if (!(await moveCheckpoint(pool, name, at, to))) return false;
      at = { ...at, position: to };
      publisher?.publish(name, to);
      return true;
    },
  };
}
