/** The one place where the benches rebuild a read model, and see that it came out right. */
import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import type { EventStore } from '../../src/eventstore/port.ts';
import { startProjections } from '../../src/projections/engine/engine.ts';
import type { ReadModel } from '../../src/projections/engine/read-model.ts';
import { ensureSchema, makeGeneration } from '../../src/projections/postgres/schema.ts';
import { postgresStorage } from '../../src/projections/postgres/storage.ts';
import { inTransaction } from '../../src/projections/postgres/transaction.ts';

/**
 * A generation with none beside it, from an empty table until it serves: loaded, indexed, caught up (there is nothing
 * to compare it with). Answers the number of events read.
 */
export async function rebuild(store: EventStore, pool: pg.Pool, model: ReadModel): Promise<number> {
  await ensureSchema(pool);
  await forget(pool, model);
  await inTransaction(pool, (client) => makeGeneration(client, model, { state: 'building' }));
  const log = (): void => undefined;
  const projections = await startProjections({
    store,
    storage: postgresStorage({ pool, store, log }),
    models: [model],
    instance: 'bench',
    delays: { beat: 50 },
    log,
  });
  const table = await tableOf(pool, model);
  while (!projections.catalog.findServing(model.name)) await pause(10);
  await projections.stop();
  const { rows } = await pool.query<{ events: string }>(
    'select events from tallyback.generation where table_name = $1',
    [table],
  );
  return Number(rows[0]?.events);
}

async function forget(pool: pg.Pool, model: ReadModel): Promise<void> {
  const { rows } = await pool.query<{ table_name: string }>(
    'delete from tallyback.generation where model = $1 returning table_name',
    [model.name],
  );
  for (const { table_name } of rows) await pool.query(`drop table tallyback.${table_name}`);
  await pool.query('delete from tallyback.checkpoint where starts_with(name, $1)', [
    `projection:${model.name}/`,
  ]);
}

/** Of the one generation there is. */
export async function tableOf(pool: pg.Pool, model: Pick<ReadModel, 'name'>): Promise<string> {
  const { rows } = await pool.query<{ table_name: string }>(
    `select table_name from tallyback.generation where model = $1`,
    [model.name],
  );
  if (rows.length !== 1 || !rows[0]) throw new Error(`${model.name} has ${rows.length} generations`);
  return rows[0].table_name;
}

/** Throws if the table does not hold that many rows, or its column not that sum. */
export async function checkRows(
  pool: pg.Pool,
  model: ReadModel,
  rows: number,
  column: string,
  sum: bigint,
): Promise<void> {
  const found = await pool.query<{ rows: number; sum: string }>(
    `select count(*)::int as rows, sum(${column})::text as sum from tallyback.${await tableOf(pool, model)}`,
  );
  const [is] = found.rows;
  if (is?.rows === rows && is.sum === String(sum)) return;
  throw new Error(
    `${model.name} came out as ${is?.rows} rows with ${column} ${is?.sum}, not ${rows}, ${sum}`,
  );
}
