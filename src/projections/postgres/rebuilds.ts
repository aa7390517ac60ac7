/** What a rebuild does to the database: see the engine's rebuild.ts. */
import type pg from 'pg';
import { comparePositions, formatPosition, type Position } from '../../eventstore/port.ts';
import type { ReadModel } from '../engine/read-model.ts';
import {
  type Comparison,
  type Generation,
  type Held,
  leaseName,
  type RebuildNumbers,
  type RebuildReport,
  type Stage,
} from '../engine/storage.ts';
import { readPosition } from './checkpoints.ts';
import { dropTable, makeIndexes } from './schema.ts';
import { identifier, tableName } from './table-sql.ts';
import { inTransaction, unhurried } from './transaction.ts';

/** Milliseconds that a generation is held still while another takes its place. */
const frozenFor = 3_000;
/** Rows that differ and are shown. */
const mostExamples = 20;

const ifHeld = `exists (select from tallyback.checkpoint where name = $1 and epoch = $2)`;

export async function setStage(
  pool: pg.Pool,
  held: Held,
  { model, number }: Generation,
  stage: Stage,
  report?: RebuildReport,
): Promise<boolean> {
  const { rowCount } = await pool.query(
    `update tallyback.generation set stage = $5, report = coalesce($6, report)
     where model = $3 and number = $4 and ${ifHeld}`,
    [held.name, held.epoch, model, number, stage, report ? reportText(report) : null],
  );
  return rowCount === 1;
}

const reportText = (report: RebuildReport): string =>
  JSON.stringify(report, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));

export async function noteProgress(
  pool: pg.Pool,
  { model, number }: Generation,
  { target, newEvents, eventsPerSecond, remainingSeconds }: RebuildNumbers,
): Promise<void> {
  await pool.query(
    `update tallyback.generation
     set target = $3, events = events + $4, events_per_second = $5, remaining_seconds = $6
     where model = $1 and number = $2`,
    [model, number, formatPosition(target), newEvents, eventsPerSecond, remainingSeconds ?? null],
  );
}

export async function index(pool: pg.Pool, model: ReadModel, { table }: Generation): Promise<void> {
  await inTransaction(pool, (client) => makeIndexes(client, model, table));
}

interface Compared {
  readonly before_rows: string;
  readonly after_rows: string;
  readonly before_sum: string | null;
  readonly after_sum: string | null;
  readonly differences: string;
  readonly examples: Comparison['examples'] | null;
}

/**
 * Both tables and both checkpoints at one moment. Rows that either one changed after the position that both have reached
 * are left out: one of the two has not heard of it.
 */
export async function compare(
  pool: pg.Pool,
  model: ReadModel,
  generation: Generation,
): Promise<Comparison | undefined> {
  return inTransaction(pool, async (client) => {
    await client.query('set transaction isolation level repeatable read, read only');
    const serving = await servingBeside(client, generation);
    if (!serving) return undefined;
    const ours = await positionOf(client, leaseName(generation));
    const theirs = await positionOf(client, leaseName(serving));
    const through = comparePositions(ours, theirs) < 0 ? ours : theirs;
    const key = model.table.key.map(identifier).join(', ');
    const { rows } = await client.query<Compared>({
      text: `with pairs as (
         select coalesce(b.k, a.k) as k, b.row as before, a.row as after
         from (select jsonb_build_array(${key}) as k, t.position, t::text as row
               from ${tableName(serving.table_name)} t) b
         full join (select jsonb_build_array(${key}) as k, t.position, t::text as row
                    from ${tableName(generation.table)} t) a on a.k = b.k
         -- What the one that is ahead does not have, it may have removed after that position.
         where coalesce(b.position, $2) <= $1 and coalesce(a.position, $3) <= $1
       )
       select count(before) as before_rows, count(after) as after_rows,
         sum(hashtextextended(before, 0)::numeric)::text as before_sum,
         sum(hashtextextended(after, 0)::numeric)::text as after_sum,
         count(*) filter (where before is distinct from after) as differences,
         (select json_agg(json_strip_nulls(json_build_object('key', k::text, 'before', before, 'after', after)))
          from (select * from pairs where before is distinct from after limit ${mostExamples}) e) as examples
       from pairs`,
      values: [through.commit, theirs.commit, ours.commit],
      ...unhurried,
    });
    const [row] = rows;
    if (!row) throw new Error('the database did not answer');
    return {
      through,
      rows: { before: BigInt(row.before_rows), after: BigInt(row.after_rows) },
      checksum: { before: row.before_sum ?? '0', after: row.after_sum ?? '0' },
      differences: BigInt(row.differences),
      examples: row.examples ?? [],
    };
  });
}

interface Serving {
  readonly model: string;
  readonly number: number;
  readonly table_name: string;
}

/** The one of the same version that serves. */
async function servingBeside(
  client: pg.PoolClient,
  { model, version, number }: Generation,
): Promise<Serving | undefined> {
  const { rows } = await client.query<Serving>(
    `select model, number, table_name from tallyback.generation
     where model = $1 and version = $2 and state = 'serving' and number <> $3`,
    [model, version, number],
  );
  return rows[0];
}

async function positionOf(client: pg.PoolClient, name: string): Promise<Position> {
  const { rows } = await client.query<{ position: string }>(
    'select position from tallyback.checkpoint where name = $1',
    [name],
  );
  if (!rows[0]) throw new Error(`${name} has no checkpoint`);
  return readPosition(rows[0].position);
}

export async function freeze(
  pool: pg.Pool,
  held: Held,
  generation: Generation,
): Promise<Position | undefined> {
  const { rows } = await pool.query<{ position: string }>(
    `update tallyback.checkpoint c
     set epoch = epoch + 1, owner = null, frozen_until = now() + $6 * interval '1 millisecond'
     from tallyback.generation g
     where g.model = $3 and g.version <= $4 and g.state = 'serving' and g.number <> $5
       and c.name = 'projection:' || g.model || '/' || g.number and ${ifHeld}
     returning c.position`,
    [held.name, held.epoch, generation.model, generation.version, generation.number, frozenFor],
  );
  return rows
    .map(({ position }) => readPosition(position))
    .reduce<Position | undefined>(
      (most, one) => (most && comparePositions(most, one) >= 0 ? most : one),
      undefined,
    );
}

export async function swap(
  pool: pg.Pool,
  held: Held,
  generation: Generation,
): Promise<'swapped' | 'behind' | 'fenced'> {
  return inTransaction(pool, async (client) => {
    const { rows: others } = await client.query<{ number: number; version: number }>(
      `select number, version from tallyback.generation
       where model = $1 and version <= $2 and state = 'serving' and number <> $3`,
      [generation.model, generation.version, generation.number],
    );
    const names = others.map(({ number }) => leaseName({ model: generation.model, number }));
    // All these checkpoints stay as they are until this is over; always in the same order, so that no two wait for each other.
    const { rows } = await client.query<{ name: string; position: string; epoch: string }>(
      `select name, position, epoch::text from tallyback.checkpoint where name = any($1) order by name for update`,
      [[held.name, ...names]],
    );
    const mine = rows.find(({ name }) => name === held.name);
    if (!mine || BigInt(mine.epoch) !== held.epoch) return 'fenced';
    const position = readPosition(mine.position);
    if (rows.some((row) => comparePositions(readPosition(row.position), position) > 0)) return 'behind';
    for (const { number, version } of others) {
      const isReplaced = version === generation.version;
      if (isReplaced)
        await client.query(
          `update tallyback.generation set state = 'kept' where model = $1 and number = $2`,
          [generation.model, number],
        );
      // Whoever wrote what is replaced is refused from here on; those of older versions may go on with theirs.
      await client.query(
        `update tallyback.checkpoint set frozen_until = null, epoch = epoch + $2, owner = case when $2 = 0 then owner end
         where name = $1`,
        [leaseName({ model: generation.model, number }), isReplaced ? 1 : 0],
      );
    }
    await client.query(
      `update tallyback.generation set state = 'serving', stage = 'done', finished_at = now(), remaining_seconds = 0
       where model = $1 and number = $2`,
      [generation.model, generation.number],
    );
    return 'swapped';
  });
}

export async function drop(pool: pg.Pool, held: Held, generation: Generation): Promise<boolean> {
  return inTransaction(pool, async (client) => {
    const { rowCount } = await client.query(
      'delete from tallyback.checkpoint where name = $1 and epoch = $2',
      [held.name, held.epoch],
    );
    if (rowCount !== 1) return false;
    await dropTable(client, generation);
    return true;
  });
}
