/** The rows of a generation: loaded, and written together with its checkpoint. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { formatPosition } from '../../eventstore/port.ts';
import type { AnyRow, Key, ReadModel } from '../engine/read-model.ts';
import type { Generation, ParkedEvent, StoredRow, WriteBatch } from '../engine/storage.ts';
import { move, plain } from './checkpoints.ts';
import {
  columnParsers,
  columnType,
  decodeRow,
  encodeArray,
  encodeKeys,
  encodeLines,
  keyOf,
} from './row-codec.ts';
import { rejected } from './rejected.ts';
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

const isNew = ({ row, isStored }: StoredRow): boolean => row !== undefined && isStored === false;

/** False: fenced, and nothing was written. */
export function write(pool: pg.Pool, batch: WriteBatch): Promise<boolean> {
  // A table that nobody reads yet is filled by COPY, which costs the database half, but takes a transaction around it.
  const copied = batch.generation.state === 'building' ? batch.rows.filter(isNew) : [];
  if (copied.length === 0 && batch.parked.length === 0) return writeRows(pool, batch).catch(rejected);
  const others = copied.length === 0 ? batch.rows : batch.rows.filter((row) => !isNew(row));
  return inTransaction(pool, async (client) => {
    const { held, from, to } = batch;
    const isOurs =
      others.length > 0
        ? await writeRows(client, { ...batch, rows: others })
        : await move(client, held, from, to);
    if (!isOurs) return false;
    if (copied.length > 0) await copy(client, batch, copied);
    await park(client, batch.generation, batch.parked);
    return true;
  }).catch(rejected);
}

async function copy(
  client: pg.PoolClient,
  { model, generation }: WriteBatch,
  rows: readonly StoredRow[],
): Promise<void> {
  const { table, columns, selected } = tableSql(model, generation.table);
  const target = client.query(copyFrom(`copy ${table} (${selected}, position) from stdin`));
  await pipeline(Readable.from(encodeLines(columns, rows)), target);
}

/** The rows and the checkpoint of a batch; false: fenced. */
export async function writeRows(connection: pg.Pool | pg.PoolClient, batch: WriteBatch): Promise<boolean> {
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

export async function park(
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
  connection: pg.Pool | pg.PoolClient,
  { model, number }: Generation,
): Promise<ReadonlySet<string>> {
  const { rows } = await connection.query<{ scope: string }>(
    'select distinct scope from tallyback.parked_event where model = $1 and number = $2',
    [model, number],
  );
  return new Set(rows.map(({ scope }) => scope));
}
