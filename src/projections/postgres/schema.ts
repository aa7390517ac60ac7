/**
 * What the engine needs in a database, made and changed by itself. Several processes may start at once: an advisory
 * lock lets one at a time look and change. Changes only add, so that a process of the release before can go on while
 * instances are restarted one after the other; one that starts on a newer database is refused.
 */
import type pg from 'pg';
import { auditTables } from './audit/schema.ts';
import { columnsOf, newerOnly } from '../engine/catalog.ts';
import { OtherVersion } from '../engine/errors.ts';
import type { ReadModel } from '../engine/read-model.ts';
import { type Generation, leaseName } from '../engine/storage.ts';
import { formatPosition, logStart } from '../../eventstore/port.ts';
import { ddl, identifier, tableName } from './table-sql.ts';
import { inTransaction, unhurried } from './transaction.ts';

/** Any number nobody else uses; all processes and versions must agree on it. */
export const schemaLock = '7308332186';

/** Of everything below. Raised with every addition to `steps`. */
const steps: readonly string[] = [
  // 1: before versions were recorded.
  `create table if not exists tallyback.checkpoint (
    name text collate "C" primary key,
    version int not null,
    position text collate "C" not null,
    epoch bigint not null,
    updated_at timestamptz not null
  ) with (fillfactor = 50);
  alter table tallyback.checkpoint
    -- Why its writer has given up, and before which event. Says something only while the epoch is still that
    -- one: whoever claims it raises it, and so starts with a clean slate.
    add column if not exists failed_epoch bigint,
    add column if not exists failed_at_position text collate "C",
    add column if not exists error text;
  -- The log that all positions here speak of: see followed-log.ts.
  create table if not exists tallyback.followed_log (
    only_row boolean primary key default true check (only_row),
    store_id text collate "C" not null,
    since timestamptz not null
  );`,
  // 2: instances, leases and generations.
  `create table tallyback.instance (
    id text collate "C" primary key,
    able text[] not null,
    live_until timestamptz not null
  ) with (fillfactor = 50);
  alter table tallyback.checkpoint
    add column owner text collate "C",
    -- Until then nobody may claim it: see swap.
    add column frozen_until timestamptz,
    add column stack text;
  create table tallyback.generation (
    model text collate "C" not null,
    number int not null,
    version int not null,
    columns json not null,
    table_name text collate "C" not null,
    state text not null check (state in ('building', 'serving', 'kept', 'dropped')),
    stage text not null,
    wish text not null default 'run',
    dry_run boolean not null default false,
    accepted boolean not null default false,
    incarnation int not null default 1,
    -- For those who look on.
    requested_at timestamptz not null default now(),
    finished_at timestamptz,
    target text collate "C",
    events bigint not null default 0,
    events_per_second double precision,
    remaining_seconds double precision,
    report json,
    primary key (model, number)
  );
  create unique index on tallyback.generation (model, version) where state = 'serving';
  create unique index on tallyback.generation (model, version) where state = 'building';
  create table tallyback.parked_event (
    model text collate "C" not null,
    number int not null,
    scope text collate "C" not null,
    commit bigint not null,
    position text collate "C" not null,
    stream text collate "C" not null,
    revision bigint not null,
    type text not null,
    error text,
    stack text,
    parked_at timestamptz not null default now(),
    primary key (model, number, scope, commit)
  );
  -- What operators did, and to what.
  create table tallyback.operator_action (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    who text not null,
    action text not null,
    subject text not null,
    detail json not null
  );
  -- Tables of read models made before there were generations are the first ones. Under another name: a process of the
  -- release before that starts now finds no checkpoint of its own, and would drop the table to make it anew.
  insert into tallyback.generation (model, number, version, columns, table_name, state, stage)
  select m.name, 1, c.version,
    (select json_object_agg(a.attname, replace(format_type(a.atttypid, null), 'timestamp with time zone', 'timestamptz')
       || case when a.attnotnull then '' else ' null' end)
     from pg_attribute a where a.attrelid = m.class and a.attnum > 0 and not a.attisdropped and a.attname <> 'position'),
    m.name || '_1', 'serving', 'done'
  from tallyback.checkpoint c,
    lateral (select substr(c.name, 12) as name, to_regclass('tallyback.' || quote_ident(substr(c.name, 12))) as class) m
  where starts_with(c.name, 'projection:') and m.class is not null;
  do $$
  declare g record;
  begin
    for g in select model, table_name from tallyback.generation loop
      execute format('alter table tallyback.%I rename to %I', g.model, g.table_name);
    end loop;
  end $$;
  update tallyback.checkpoint c set name = c.name || '/1', epoch = c.epoch + 1
  where exists (select from tallyback.generation g where c.name = 'projection:' || g.model);`,
  // 3: the audit.
  auditTables,
];

/** Makes or changes the engine's own tables. Throws OtherVersion if they are newer than this code. */
export async function ensureSchema(pool: pg.Pool): Promise<void> {
  // Looked up first: one who may not create tables can use those there are.
  if ((await schemaVersion(pool)) === steps.length) return;
  await inTransaction(pool, async (client) => {
    await client.query(`select pg_advisory_xact_lock(${schemaLock})`);
    const version = await schemaVersion(client);
    if (version > steps.length) {
      throw new OtherVersion(
        `the database was made by a newer release (schema ${version}; this one knows ${steps.length})`,
      );
    }
    await client.query(`create schema if not exists tallyback;
      create table if not exists tallyback.schema_version (
        only_row boolean primary key default true check (only_row), version int not null)`);
    for (const step of steps.slice(version)) await client.query(step);
    await client.query(
      `insert into tallyback.schema_version (version) values ($1)
       on conflict (only_row) do update set version = $1`,
      [steps.length],
    );
  });
}

async function schemaVersion(connection: pg.Pool | pg.PoolClient): Promise<number> {
  // Not by to_regclass, which answers from the session's cache: one who has just waited for another to make all this
  // would not see it.
  const { rows } = await connection.query<{ there: boolean }>(
    `select exists (select from pg_tables where schemaname = 'tallyback' and tablename = 'schema_version') as there`,
  );
  if (!rows[0]?.there) return 0;
  const stored = await connection.query<{ version: number }>('select version from tallyback.schema_version');
  return stored.rows[0]?.version ?? 0;
}

/** A generation for every read model that has none of its version; checkpoints for everything else that has one. */
export async function ensureGenerations(
  pool: pg.Pool,
  models: readonly ReadModel[],
  others: readonly string[],
): Promise<void> {
  for (const model of models) {
    await inTransaction(pool, async (client) => {
      await client.query(`select pg_advisory_xact_lock(${schemaLock})`);
      const { rows } = await client.query<{ version: number; number: number; table: string }>(
        `select version, number, table_name as "table" from tallyback.generation
         where model = $1 and state <> 'dropped'`,
        [model.name],
      );
      const versions = rows.map(({ version }) => version);
      if (versions.includes(model.version)) return;
      const newest = Math.max(...versions);
      if (newest > model.version) throw newerOnly(model, newest);
      // The version before may still run beside this one, or be gone back to; what is older is of no use any more.
      for (const old of rows.filter(({ version }) => version < newest)) {
        const generation = { model: model.name, ...old };
        await client.query('delete from tallyback.checkpoint where name = $1', [leaseName(generation)]);
        await dropTable(client, generation);
      }
      await makeGeneration(
        client,
        model,
        versions.length === 0 ? { state: 'serving' } : { state: 'building' },
      );
    });
  }
  for (const name of others) {
    await pool.query(
      `insert into tallyback.checkpoint (name, version, position, epoch, updated_at)
       values ($1, 1, $2, 0, now()) on conflict do nothing`,
      [name, formatPosition(logStart)],
    );
  }
}

/** Answers its number. In the transaction of the caller, who holds the schema's lock. */
export async function makeGeneration(
  client: pg.PoolClient,
  model: ReadModel,
  { state, dryRun = false }: { readonly state: 'serving' | 'building'; readonly dryRun?: boolean },
): Promise<number> {
  const { rows } = await client.query<{ next: number }>(
    'select coalesce(max(number), 0) + 1 as next from tallyback.generation where model = $1',
    [model.name],
  );
  const number = rows[0]?.next ?? 1;
  const table = `${model.name}_${number}`;
  identifier(table);
  await client.query(ddl(model, table).create);
  if (state === 'serving') await makeIndexes(client, model, table);
  await client.query(
    `insert into tallyback.generation (model, number, version, columns, table_name, state, stage, dry_run)
     values ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [
      model.name,
      number,
      model.version,
      JSON.stringify(columnsOf(model)),
      table,
      state,
      state === 'serving' ? 'done' : 'loading',
      dryRun,
    ],
  );
  await client.query(
    `insert into tallyback.checkpoint (name, version, position, epoch, updated_at) values ($1, $2, $3, 0, now())`,
    [leaseName({ model: model.name, number }), model.version, formatPosition(logStart)],
  );
  return number;
}

/** Makes what indexes are missing. In the transaction of the caller. */
export async function makeIndexes(client: pg.PoolClient, model: ReadModel, table: string): Promise<void> {
  const { key, index } = ddl(model, table);
  const { rowCount } = await client.query(
    `select from pg_index where indrelid = to_regclass($1) and indisprimary`,
    [tableName(table)],
  );
  if (key !== undefined && rowCount === 0) await client.query({ text: key, ...unhurried });
  await client.query({ text: index, ...unhurried });
}

/** In the transaction of the caller, who has seen to it that nobody writes to it. */
export async function dropTable(
  client: pg.PoolClient,
  { model, number, table }: Pick<Generation, 'model' | 'number' | 'table'>,
): Promise<void> {
  await client.query(
    `update tallyback.generation set state = 'dropped', finished_at = now() where model = $1 and number = $2`,
    [model, number],
  );
  await client.query('delete from tallyback.parked_event where model = $1 and number = $2', [model, number]);
  await client.query(`drop table if exists ${tableName(table)}`);
}
