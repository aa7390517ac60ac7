/** All rows that match, as they were at one moment, in pages. */
import type pg from 'pg';
import type { Position } from '../../eventstore/port.ts';
import { type Generation, incarnationOf } from '../engine/storage.ts';
import { readPosition } from './checkpoints.ts';
import { conditionsOf, keyColumns, Parameters, where } from './conditions.ts';
import type { Columns, ReadModel, RowOf } from '../engine/read-model.ts';
import type { Filter } from '../engine/reading.ts';
import { columnParsers, decodeRow } from './row-codec.ts';
import { checkpointValues, servingCheckpoint } from './serving.ts';
import { tableSql } from './table-sql.ts';

export interface Snapshot<C extends Columns> {
  readonly through: Position;
  readonly incarnation: string;
  /** Can be read once. Ends early, by throwing the signal's reason, when the signal aborts. */
  readonly pages: AsyncIterable<readonly RowOf<C>[]>;
}

const pageSize = 1_000;

/**
 * Undefined if the generation does not serve (any more). The connection is given back when the last page has been read, the reading is broken off, or the signal
 * aborts.
 */
export async function openSnapshot<C extends Columns>(
  pool: pg.Pool,
  model: ReadModel<C>,
  generation: Generation,
  filter: Filter<C>,
  signal: AbortSignal,
): Promise<Snapshot<C> | undefined> {
  signal.throwIfAborted();
  const client = await pool.connect();
  const end = endOnce(client, signal);
  try {
    const moment = await declareCursor(client, model, generation, filter);
    signal.throwIfAborted();
    if (moment) return { ...moment, pages: pagesOf(client, model, generation, signal, end) };
    end(false);
    return undefined;
  } catch (error) {
    end(true);
    throw error;
  }
}

/** Gives the connection back, once: `failed` throws it away. Happens by itself when the signal aborts. */
function endOnce(client: pg.PoolClient, signal: AbortSignal): (failed: boolean) => void {
  let ended = false;
  const end = (failed: boolean): void => {
    if (ended) return;
    ended = true;
    signal.removeEventListener('abort', aborted);
    if (failed) client.release(true);
    else
      client.query('commit').then(
        () => client.release(),
        () => client.release(true),
      );
  };
  const aborted = (): void => end(true);
  signal.addEventListener('abort', aborted);
  return end;
}

async function declareCursor<C extends Columns>(
  client: pg.PoolClient,
  model: ReadModel<C>,
  generation: Generation,
  filter: Filter<C>,
): Promise<Pick<Snapshot<C>, 'through' | 'incarnation'> | undefined> {
  const { table, selected } = tableSql(model, generation.table);
  // The table is locked before the first SELECT fixes the moment: a move to another log that empties the table
  // (which no snapshot is safe from) then comes either before this moment or after this transaction.
  await client.query(
    `begin isolation level repeatable read read only; lock table ${table} in access share mode`,
  );
  const { rows } = await client.query<{ position: string; incarnation: number }>(
    servingCheckpoint(1),
    checkpointValues(generation),
  );
  const [moment] = rows;
  if (!moment) return undefined;
  const parameters = new Parameters();
  const conditions = conditionsOf(model, filter, parameters);
  await client.query(
    `declare snapshot no scroll cursor for
     select ${selected} from ${table} t ${where(conditions)} order by ${keyColumns(model).join(', ')}`,
    parameters.values,
  );
  return {
    through: readPosition(moment.position),
    incarnation: incarnationOf(generation, moment.incarnation),
  };
}

async function* pagesOf<C extends Columns>(
  client: pg.PoolClient,
  model: ReadModel<C>,
  generation: Generation,
  signal: AbortSignal,
  end: (failed: boolean) => void,
): AsyncGenerator<readonly RowOf<C>[], void, undefined> {
  const { columns } = tableSql(model, generation.table);
  let failed = false;
  try {
    for (;;) {
      signal.throwIfAborted();
      const { rows } = await client
        .query<unknown[]>({ text: `fetch ${pageSize} from snapshot`, rowMode: 'array', types: columnParsers })
        // An abort ends the connection under the query: say why.
        .catch((error: unknown) => {
          signal.throwIfAborted();
          throw error;
        });
      if (rows.length > 0) yield rows.map((values) => decodeRow<C>(columns, values));
      if (rows.length < pageSize) break;
    }
  } catch (error) {
    failed = true;
    throw error;
  } finally {
    end(failed);
  }
}
