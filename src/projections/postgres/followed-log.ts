/**
 * Which event log the read models and policies of a database follow.
 *
 * A checkpoint is a position, and positions mean something in one log only. So the database records the id of that
 * log, whoever claims a checkpoint must name the same one, and nobody follows two logs with one database.
 *
 *   no record              recorded
 *   this log               fine
 *   the log that this one  the log has moved (`copy-log`): everything is emptied and starts over, in one transaction
 *   is a copy of
 *   any other              OtherLog
 *
 * Who claims holds a share of the record while it raises the epoch. So a move comes before, and the claim is
 * refused, or after, and raises the epoch again: a process that still follows the old log never writes again.
 * Locks are taken in the order record, tables, checkpoints.
 */
import pg from 'pg';
import { type EventStore, formatPosition, type LogOrigin, logStart } from '../../eventstore/port.ts';
import { errorText, OtherLog } from '../engine/errors.ts';
import { backoff, type Timing } from '../engine/timing.ts';
import { ensureSchema, schemaLock } from './schema.ts';
import { tableName } from './table-sql.ts';
import { withClient } from './transaction.ts';

/** The beginning of a statement that may only do something if the database follows the log given as a parameter. */
export const follows = (parameter: string): string =>
  `with follows as (select from tallyback.followed_log where store_id = ${parameter} for share)`;

/** Why something was not done to a checkpoint, while a process runs. */
export const otherLog = (): OtherLog =>
  new OtherLog('the read models in this database follow another event log now; this process cannot go on');

/** Id of the event store, if one is recorded. */
export async function followedLog(connection: pg.Pool | pg.PoolClient): Promise<string | undefined> {
  const { rows } = await connection.query<{ store_id: string }>(
    'select store_id from tallyback.followed_log',
  );
  return rows[0]?.store_id;
}

/** What of an event store matters here. */
type Log = Pick<EventStore, 'id' | 'origin'>;

/**
 * Makes sure that the read models and policies in the database follow this log, and no other.
 * Throws OtherLog, and what Postgres says. Waits for readers of the tables if these are to be emptied.
 */
export async function followLog(
  pool: pg.Pool,
  store: Log,
  log: (line: string) => void,
  timing: Timing,
): Promise<void> {
  await ensureSchema(pool);
  const never = new AbortController().signal;
  for (let attempt = 0; ; attempt++) {
    try {
      const left = await withClient(pool, (client) => decide(client, store));
      if (left !== undefined) {
        log(
          `the event log has moved: ${left} was copied to ${store.id}. All read models are folded anew from there.`,
        );
      }
      return;
    } catch (error) {
      if (!(error instanceof pg.DatabaseError) || !passing.has(error.code ?? '')) throw error;
      if (attempt === 0) log(`waiting for the tables of the read models: ${errorText(error)}`);
      await timing.sleep(backoff(timing, attempt, 1_000), never);
    }
  }
}

/** lock_not_available, deadlock_detected */
const passing = new Set(['55P03', '40P01']);

/** The log that has been left, if it was. The connection is thrown away with its transaction if this fails. */
async function decide(client: pg.PoolClient, { id, origin }: Log): Promise<string | undefined> {
  await client.query('begin');
  await client.query(`select pg_advisory_xact_lock(${schemaLock})`);
  const recorded = (await followedLog(client)) ?? (await followedBefore(client));
  if (recorded !== undefined && recorded !== id) {
    if (origin?.storeId !== recorded || !origin.complete) throw new OtherLog(refusal(recorded, id, origin));
    await startOver(client, id);
  } else {
    await client.query(
      'insert into tallyback.followed_log (store_id, since) values ($1, now()) on conflict do nothing',
      [id],
    );
  }
  await client.query('commit');
  return recorded === id ? undefined : recorded;
}

/**
 * Before logs were recorded, the log was the one in the same database. Undefined if nothing has followed one yet.
 */
async function followedBefore(client: pg.PoolClient): Promise<string | undefined> {
  const used = await client.query('select from tallyback.checkpoint where position <> $1 limit 1', [
    formatPosition(logStart),
  ]);
  if (used.rowCount === 0) return undefined;
  const { rows } = await client.query<{ yes: boolean }>(
    `select to_regclass('tallyback_log.log') is not null as yes`,
  );
  if (!rows[0]?.yes)
    throw new OtherLog('the checkpoints in this database speak of an event log that is gone');
  const log = await client.query<{ store_id: string }>('select store_id::text from tallyback_log.log');
  return log.rows[0]?.store_id;
}

/** Empties everything that was made from the log before, also what this version of the code knows nothing of. */
async function startOver(client: pg.PoolClient, id: string): Promise<void> {
  // Everybody who comes after us waits for us: better to give up than to let a slow reader stop all others.
  await client.query(`set local lock_timeout = '1s'`);
  await client.query(
    `insert into tallyback.followed_log as f (store_id, since) values ($1, now())
     on conflict (only_row) do update set store_id = $1, since = now()`,
    [id],
  );
  const { rows } = await client.query<{ table_name: string }>(
    `select table_name from tallyback.generation where state <> 'dropped' order by model, number`,
  );
  const tables = rows.map((row) => tableName(row.table_name));
  if (tables.length > 0) await client.query(`truncate ${tables.join(', ')}`);
  await client.query('delete from tallyback.parked_event');
  // What was being built starts over too; what was kept to go back to is of no use any more, and stays empty.
  await client.query(`update tallyback.generation set incarnation = incarnation + 1,
    stage = case when state = 'building' then 'loading' else stage end`);
  await client.query('update tallyback.checkpoint set position = $1, epoch = epoch + 1, updated_at = now()', [
    formatPosition(logStart),
  ]);
}

function refusal(recorded: string, id: string, origin: LogOrigin | undefined): string {
  const copied = origin ? ` and a copy of ${origin.storeId}` : '';
  return (
    `The read models in this database were made from the event log ${recorded}. The event log opened is ${id}${copied}: ` +
    'its positions mean other events. Open the log they were made from, or use another database for the read models, ' +
    'or move the log with tallyback copy-log first.'
  );
}
