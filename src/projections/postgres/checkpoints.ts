/** Checkpoints in Postgres: claimed, moved and looked at. Who may do what is said in the engine's storage.ts. */
import type pg from 'pg';
import { formatPosition, parsePosition, type Position } from '../../eventstore/port.ts';
import type { Failure, Held } from '../engine/storage.ts';
import { followedLog, follows, otherLog } from './followed-log.ts';

export function readPosition(text: string): Position {
  const position = parsePosition(text);
  if (!position) throw new TypeError(`"${text}" in tallyback.checkpoint is not a position`);
  return position;
}

/** `i` is an instance that lives, on the database's clock. */
export const lives = 'i.live_until > now()';

export async function claim(
  pool: pg.Pool,
  name: string,
  instance: string,
  log: string,
): Promise<Held | undefined> {
  const { rows } = await pool.query<{ position: string; epoch: string }>(
    `${follows('$3')}
     update tallyback.checkpoint c set epoch = epoch + 1, owner = $2, updated_at = now()
     where name = $1 and exists (select from follows)
       and (frozen_until is null or frozen_until < now())
       and exists (select from tallyback.instance i where i.id = $2 and ${lives})
       and (owner is null or owner = $2
            or not exists (select from tallyback.instance i where i.id = c.owner and ${lives}))
     returning position, epoch::text`,
    [name, instance, log],
  );
  const [row] = rows;
  if (row) return { name, position: readPosition(row.position), epoch: BigInt(row.epoch) };
  if ((await followedLog(pool)) !== log) throw otherLog();
  return undefined;
}

export async function seek(pool: pg.Pool, { name, epoch }: Held): Promise<Held | undefined> {
  const { rows } = await pool.query<{ position: string }>(
    'select position from tallyback.checkpoint where name = $1 and epoch = $2',
    [name, epoch],
  );
  return rows[0] && { name, epoch, position: readPosition(rows[0].position) };
}

/** False: fenced. */
export async function move(
  connection: pg.Pool | pg.PoolClient,
  held: Held,
  from: Position,
  to: Position,
): Promise<boolean> {
  const { rowCount } = await connection.query({
    name: 'checkpoint-move',
    text: `update tallyback.checkpoint set position = $4, updated_at = now()
           where name = $1 and epoch = $2 and position = $3`,
    values: [held.name, held.epoch, formatPosition(from), formatPosition(to)],
  });
  return rowCount === 1;
}

export async function release(pool: pg.Pool, { name, epoch }: Held, instance: string): Promise<void> {
  await pool.query(
    `update tallyback.checkpoint set owner = null where name = $1 and epoch = $2 and owner = $3`,
    [name, epoch, instance],
  );
}

/** Tells operators why nothing moves any more. Does nothing if somebody else has the checkpoint by now. */
export async function fail(
  pool: pg.Pool,
  { name, epoch }: Held,
  { error, stack, at }: Failure,
): Promise<void> {
  await pool.query(
    `update tallyback.checkpoint set failed_epoch = epoch, failed_at_position = $3, error = $4, stack = $5
     where name = $1 and epoch = $2`,
    [name, epoch, at ? formatPosition(at) : null, plain(error), stack === undefined ? null : plain(stack)],
  );
}

/** Postgres cannot hold NUL in text. */
export const plain = (text: string): string => text.replaceAll('\0', '\uFFFD');

export async function positions(
  pool: pg.Pool,
  names: readonly string[] | undefined,
): Promise<ReadonlyMap<string, Position>> {
  const { rows } = await pool.query<{ name: string; position: string }>({
    name: 'checkpoint-read',
    text: `select name, position from tallyback.checkpoint
           where $1::text[] is null or name = any($1) order by name`,
    values: [names ?? null],
  });
  return new Map(rows.map(({ name, position }) => [name, readPosition(position)]));
}
