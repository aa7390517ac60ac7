/** The one place where the benches rebuild a read model, and see that it came out right. */
import type pg from 'pg';
import type { EventStore } from '../../src/eventstore/port.ts';
import type { ReadModel } from '../../src/projections/engine/read-model.ts';
import { replayReadModel } from '../../src/projections/engine/replay.ts';

/** Answers the number of events read. */
export async function rebuild(store: EventStore, pool: pg.Pool, model: ReadModel): Promise<number> {
  const { events } = await replayReadModel({ store, pool, model });
  return events;
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
    `select count(*)::int as rows, sum(${column})::text as sum from tallyback.${model.name}`,
  );
  const [is] = found.rows;
  if (is?.rows === rows && is.sum === String(sum)) return;
  throw new Error(
    `${model.name} came out as ${is?.rows} rows with ${column} ${is?.sum}, not ${rows}, ${sum}`,
  );
}
