/** The rows of a generation: loaded, and written together with its checkpoint. */
import pg from 'pg';
import { formatPosition } from '../../eventstore/port.ts';
import { Rejected } from '../engine/errors.ts';
import type { AnyRow, Key, ReadModel } from '../engine/read-model.ts';
import type { Generation, ParkedEvent, StoredRow, WriteBatch } from '../engine/storage.ts';
import { plain } from './checkpoints.ts';
import { columnParsers, columnType, decodeRow, encodeArray, encodeKeys, keyOf } from './row-codec.ts';
import { tableSql } from './table-sql.ts';
import { inTransaction } from './transaction.ts';

export async function load(
  pool: pg.Pool,
  model: ReadModel,
  { table }: Generation,
  keys: readonly Key[],
): Promise<readonly { readonly key: Key; readonly row: AnyRow }[]> {
  const { load: statement, columns } = tableSql(model, table);
  const { columns: specs, key: keyColumns } = model.table;
  const { rows } = await pool
    .query<unknown[]>({
      ...statement,
      values: encodeKeys(specs, keyColumns, keys),
      rowMode: 'array',
      types: columnParsers,
    })
    .catch(rejected);
  return rows.map((values) => {
    const row = decodeRow(columns, values);
    return { key: keyOf(keyColumns, row), row };
  });
}

/** False: fenced, and nothing was written. */
export function write(pool: pg.Pool, batch: WriteBatch): Promise<boolean> {
  if (batch.parked.length === 0) return writeRows(pool, batch).catch(rejected);
  return inTransaction(pool, async (client) => {
    // Fenced or not: with no rows in it, the statement below would not know.
    if (!(await writeRows(client, batch))) return false;
    await park(client, batch.generation, batch.parked);
    return true;
  }).catch(rejected);
}

async function writeRows(connection: pg.Pool | pg.PoolClient, batch: WriteBatch): Promise<boolean> {
  const { model, generation, held, from, to, rows } = batch;
  const sql = tableSql(model, generation.table);
  const { columns: specs, key } = model.table;
  const kept: StoredRow[] = [];
  const removed: Key[] = [];
  for (const stored of rows) {
    if (stored.row) kept.push(stored);
    else removed.push(stored.key);
  }
  const values: unknown[] = [
    held.name,
    held.epoch,
    formatPosition(from),
    formatPosition(to),
    ...sql.columns.map((name) =>
      encodeArray(
        columnType(specs, name),
        kept.map(({ row }) => row?.[name]),
      ),
    ),
    `{${kept.map(({ position }) => position.commit).join(',')}}`,
  ];
  const statement = removed.length === 0 ? sql.write : sql.writeAndRemove;
  if (removed.length > 0) values.push(...encodeKeys(specs, key, removed));
  const answer = await connection.query<{ moved: number }>({ ...statement, values });
  return answer.rows[0]?.moved === 1;
}

async function park(
  client: pg.PoolClient,
  { model, number }: Generation,
  events: readonly ParkedEvent[],
): Promise<void> {
  for (const { scope, stream, revision, type, position, error, stack } of events) {
    await client.query(
      `insert into tallyback.parked_event
         (model, number, scope, commit, position, stream, revision, type, error, stack)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
      [
        model,
        number,
        plain(scope),
        position.commit,
        formatPosition(position),
        stream,
        revision,
        type,
        error === undefined ? null : plain(error),
        stack === undefined ? null : plain(stack),
      ],
    );
  }
}

export async function parkedScopes(
  pool: pg.Pool,
  { model, number }: Generation,
): Promise<ReadonlySet<string>> {
  const { rows } = await pool.query<{ scope: string }>(
    'select distinct scope from tallyback.parked_event where model = $1 and number = $2',
    [model, number],
  );
  return new Set(rows.map(({ scope }) => scope));
}

/**
 * What the database will refuse again: data exceptions (22), violated constraints (23), unsupported features (0A)
 * and errors in the statement (42). Everything else — lost connections, deadlocks, full disks, restarts, wrong
 * passwords — may pass or be put right while we wait.
 */
function rejected(error: unknown): never {
  if (error instanceof pg.DatabaseError && /^(22|23|0A|42)/.test(error.code ?? ''))
    throw new Rejected(error.message, { cause: error });
  throw error;
}
