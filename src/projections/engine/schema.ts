/**
 * The tables, made from the declarations. Several processes may start at once: an advisory lock lets one at a
 * time look and create. A read model whose stored version is another one is dropped and starts over.
 */
import type pg from 'pg';
import { formatPosition, logStart } from '../../eventstore/port.ts';
import { errorText } from './errors.ts';
import type { ReadModel } from './read-model.ts';
import { tableSql } from './table-sql.ts';
import { withClient } from './transaction.ts';

/** Any number nobody else uses; all processes and versions must agree on it. */
export const schemaLock = '7308332186';

const checkpointTable = `
  create schema if not exists tallyback;
  create table if not exists tallyback.checkpoint (
    name text collate "C" primary key,
    version int not null,
    position text collate "C" not null,
    epoch bigint not null,
    updated_at timestamptz not null
  ) with (fillfactor = 50);
  alter table tallyback.checkpoint
    -- Why its writer has given up, and before which event. Says something only while the epoch is still that
    -- one: whoever claims, takes over or replays raises it, and so starts with a clean slate.
    add column if not exists failed_epoch bigint,
    add column if not exists failed_at_position text collate "C",
    add column if not exists error text;
  -- The log that all positions here speak of: see followed-log.ts.
  create table if not exists tallyback.followed_log (
    only_row boolean primary key default true check (only_row),
    store_id text collate "C" not null,
    since timestamptz not null
  );`;

/** What the names of read models' checkpoints begin with. */
export const checkpointPrefix = 'projection:';

/** Name of a read model's checkpoint. */
export const checkpointName = (model: ReadModel): string => `${checkpointPrefix}${model.name}`;

export async function ensureCheckpointTable(pool: pg.Pool): Promise<void> {
  // Looked up first: one who may not create tables can use those there are.
  const { rows } = await pool.query<{ there: boolean }>(
    `select to_regclass('tallyback.followed_log') is not null and exists (
       select from pg_attribute
       where attrelid = to_regclass('tallyback.checkpoint') and attname = 'error' and not attisdropped
     ) as there`,
  );
  if (rows[0]?.there) return;
  // One simple query is one transaction.
  await pool.query(`select pg_advisory_xact_lock(${schemaLock}); ${checkpointTable}`);
}

/** Creates what is missing and empties what has another version. Throws what Postgres says. */
export async function ensureTables(
  pool: pg.Pool,
  models: readonly ReadModel[],
  log: (line: string) => void,
): Promise<void> {
  await ensureCheckpointTable(pool);
  for (const model of models) await ensureTable(pool, model, log);
}

async function ensureTable(pool: pg.Pool, model: ReadModel, log: (line: string) => void): Promise<void> {
  const sql = tableSql(model);
  const name = checkpointName(model);
  await withClient(pool, async (client) => {
    await client.query('begin');
    try {
      await client.query(`select pg_advisory_xact_lock(${schemaLock})`);
      const { rows } = await client.query<{ version: number }>(
        'select version from tallyback.checkpoint where name = $1',
        [name],
      );
      const stored = rows[0]?.version;
      if (stored !== model.version) {
        if (stored !== undefined) {
          log(
            `read model ${model.name}: version ${stored} becomes ${model.version}, rebuilding from the start`,
          );
        }
        // The table is locked before the checkpoint, as everywhere: see Line.
        await client.query(sql.drop);
        await client.query(sql.create);
        await client.query(
          `insert into tallyback.checkpoint as c (name, version, position, epoch, updated_at)
           values ($1, $2, $3, 0, now())
           on conflict (name) do update
             set version = $2, position = $3, epoch = c.epoch + 1, updated_at = now()`,
          [name, model.version, formatPosition(logStart)],
        );
      }
      await client.query('commit');
    } catch (error) {
      await client.query('rollback').catch((second: unknown) => log(`rollback: ${errorText(second)}`));
      throw error;
    }
  });
}
