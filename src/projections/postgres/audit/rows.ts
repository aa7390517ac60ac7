/** Rows for the audit: with their positions, their checkpoint and what is held back, at one moment. */
import pg from 'pg';
import { readPosition } from '../checkpoints.ts';
import { Holds } from '../../audit/holds.ts';
import type { Holdings } from '../../audit/money.ts';
import type { PositionedRow } from '../../audit/refold.ts';
import type { Look, Rows, Totals } from '../../audit/storage.ts';
import type { Key, ReadModel } from '../../engine/read-model.ts';
import type { Generation } from '../../engine/storage.ts';
import { keyColumns, Parameters, where } from '../conditions.ts';
import { columnParsers, columnType, decodeRow, encodeKeys, keyOf } from '../row-codec.ts';
import { checkpointValues, servingCheckpoint } from '../serving.ts';
import { identifier, tableName, tableSql } from '../table-sql.ts';

/**
 * The checkpoint of a generation with what parking and operators hold back, if it serves. Takes three parameters, from
 * this one on.
 */
export const momentSql = (first: number): string => `
  select c.position,
    (select coalesce(json_object_agg(scope, first), '{}') from (
       select scope, min(commit)::text as first from tallyback.parked_event
       where model = $${first + 1} and number = $${first + 2} group by scope) p)::text as parked,
    (select coalesce(json_agg(detail ->> 'scope'), '[]') from tallyback.operator_action
     where starts_with(action, 'drop') and detail ->> 'scope' is not null
       and split_part(subject, '/', 1) = $${first + 1}
       and coalesce(detail ->> 'generation', nullif(split_part(subject, '/', 2), ''), $${first + 2}::text)
         = $${first + 2}::text)::text as dropped
  from (${servingCheckpoint(first)}) c`;

/** What was held back at that moment, as the statement above answers it. */
export function holdsFrom(parked: string, dropped: string): Holds {
  const scopes = JSON.parse(parked) as Record<string, string>;
  return new Holds({
    parked: new Map(Object.entries(scopes).map(([scope, commit]) => [scope, BigInt(commit)])),
    dropped: new Set(JSON.parse(dropped) as string[]),
  });
}

export async function look(
  pool: pg.Pool,
  model: ReadModel,
  generation: Generation,
  which: Rows,
): Promise<Look | undefined> {
  const { columns } = tableSql(model, generation.table);
  const parameters = new Parameters();
  const wanted = rowsSql(model, generation, which, parameters);
  const { rows } = await pool
    .query<unknown[]>({
      text: `select m.position, m.parked, m.dropped, t.*
             from (${momentSql(parameters.values.length + 1)}) m left join lateral (${wanted}) t on true`,
      values: [...parameters.values, ...checkpointValues(generation)],
      rowMode: 'array',
      types: columnParsers,
    })
    .catch(goneIsEmpty);
  const [through, parked, dropped] = rows[0] ?? [];
  if (typeof through !== 'string') return undefined;
  const found: PositionedRow[] = [];
  for (const values of rows) {
    const position = values.at(-1);
    if (typeof position !== 'bigint') continue;
    const row = decodeRow(columns, values, 3);
    found.push({ key: keyOf(model.table.key, row), row, position });
  }
  return { through: readPosition(through), holds: holdsFrom(String(parked), String(dropped)), rows: found };
}

function rowsSql(model: ReadModel, { table }: Generation, which: Rows, parameters: Parameters): string {
  const { selected, table: name } = tableSql(model, table);
  const { key, columns } = model.table;
  if ('keys' in which) {
    const arrays = encodeKeys(columns, key, which.keys);
    const first = parameters.values.length + 1;
    parameters.values.push(...arrays);
    return `select ${selectedOf('t', model)}, t.position from ${keysSql(model, first)} join ${name} t on ${sameKey(model)}`;
  }
  const limit = (): string => `limit ${parameters.add(which.limit, 'integer')}`;
  if ('changedAfter' in which) {
    const after = parameters.add(which.changedAfter, 'bigint');
    return `select ${selected}, t.position from ${name} t where t.position > ${after} order by t.position desc ${limit()}`;
  }
  const order = keyColumns(model).join(', ');
  const after = which.after?.map((text, i) => parameters.add(text, columnType(columns, key[i] ?? '')));
  const beyond = after ? [`(${order}) > (${after.join(', ')})`] : [];
  return `select ${selected}, t.position from ${name} t ${where(beyond)} order by ${order} ${limit()}`;
}

const selectedOf = (table: string, model: ReadModel): string =>
  Object.keys(model.table.columns)
    .map((column) => `${table}.${identifier(column)}`)
    .join(', ');

/** Keys from arrays, from this parameter on, numbered from 1. */
const keysSql = ({ table: { key, columns } }: ReadModel, first: number): string =>
  `unnest(${key.map((name, i) => `$${first + i}::${columnType(columns, name)}[]`).join(', ')})
   with ordinality as k(${key.map(identifier).join(', ')}, _n)`;

const sameKey = ({ table: { key } }: ReadModel): string =>
  key.map((name) => `t.${identifier(name)} = k.${identifier(name)}`).join(' and ');

export async function missing(
  pool: pg.Pool,
  model: ReadModel,
  { table }: Generation,
  keys: readonly Key[],
): Promise<readonly Key[]> {
  const { key, columns } = model.table;
  const { rows } = await pool
    .query<[string]>({
      text: `select k._n::text from ${keysSql(model, 1)}
             where not exists (select from ${tableName(table)} t where ${sameKey(model)})`,
      values: encodeKeys(columns, key, keys),
      rowMode: 'array',
    })
    .catch(goneIsEmpty);
  const without = new Set(rows.map(([n]) => Number(n)));
  return keys.filter((_, i) => without.has(i + 1));
}

const amounts = [
  'pending_minor',
  'available_minor',
  'reserved_minor',
  'paid_minor',
  'debt_minor',
  'accrued_minor',
  'reversed_minor',
  'adjusted_minor',
] as const satisfies readonly (keyof Holdings)[];

interface TotalsRow {
  readonly position: string;
  readonly parked: string;
  readonly dropped: string;
  readonly sums: readonly ({ readonly currency: string } & Readonly<Record<keyof Holdings, string>>)[];
}

export async function totals(pool: pg.Pool, generation: Generation): Promise<Totals | undefined> {
  const sums = amounts.map((column) => `sum(${column})::text as ${column}`).join(', ');
  const { rows } = await pool
    .query<TotalsRow>(
      `select m.*, (select coalesce(json_agg(s), '[]') from (
         select currency, ${sums} from ${tableName(generation.table)} group by currency) s) as sums
       from (${momentSql(1)}) m`,
      checkpointValues(generation),
    )
    .catch(goneIsEmpty);
  const [row] = rows;
  if (!row) return undefined;
  return {
    through: readPosition(row.position),
    holds: holdsFrom(row.parked, row.dropped),
    sums: new Map(row.sums.map((one) => [one.currency, holdings(one)])),
  };
}

const holdings = (texts: Readonly<Record<keyof Holdings, string>>): Holdings => ({
  pending_minor: BigInt(texts.pending_minor),
  available_minor: BigInt(texts.available_minor),
  reserved_minor: BigInt(texts.reserved_minor),
  paid_minor: BigInt(texts.paid_minor),
  debt_minor: BigInt(texts.debt_minor),
  accrued_minor: BigInt(texts.accrued_minor),
  reversed_minor: BigInt(texts.reversed_minor),
  adjusted_minor: BigInt(texts.adjusted_minor),
});

/** undefined_table: the generation has been dropped, and so does not serve. */
export function goneIsEmpty(error: unknown): { readonly rows: [] } {
  if (error instanceof pg.DatabaseError && error.code === '42P01') return { rows: [] };
  throw error;
}
