/**
 * The statements of a read model, made once from its declaration. Identifiers come from the declaration alone and
 * are checked; everything else is a parameter.
 */
import type { ReadModel } from '../engine/read-model.ts';
import { columnType, isNullable, typeOf } from './row-codec.ts';

export interface Statement {
  /** Prepared under this name, once per connection. */
  readonly name: string;
  readonly text: string;
}

export interface TableSql {
  /** Qualified and quoted. */
  readonly table: string;
  readonly columns: readonly string[];
  /** The columns, quoted, for a select list. */
  readonly selected: string;
  /** Rows of some keys. $1… one array per key column. */
  readonly load: Statement;
  /**
   * One batch. $1 checkpoint, $2 epoch, $3 from, $4 to, $5… one array per column, then one of positions.
   * Answers the number of checkpoints moved: 1, or 0 and nothing was written.
   */
  readonly write: Statement;
  /** The same with rows to remove: after the positions one array per key column. */
  readonly writeAndRemove: Statement;
}

export function identifier(name: string): string {
  if (!/^[a-z][a-z0-9_]{0,39}$/.test(name)) throw new TypeError(`"${name}" cannot name a table or column`);
  return `"${name}"`;
}

const list = (names: readonly string[]): string => names.map(identifier).join(', ');

/** Qualified and quoted. */
export const tableName = (table: string): string => `tallyback.${identifier(table)}`;

/** What makes a table of a read model, in the order in which a table is filled fastest. */
export interface Ddl {
  readonly create: string;
  /** The primary key, if it was not made with the table: where nothing is looked up while it is filled. */
  readonly key: string | undefined;
  /** The secondary indexes. */
  readonly index: string;
}

export function ddl(model: ReadModel, table: string): Ddl {
  const { columns: specs, key, indexes = [] } = model.table;
  if ('position' in specs) throw new TypeError('the column "position" belongs to the engine');
  const definitions = Object.entries(specs).map(([name, spec]) => {
    const type = typeOf(spec) === 'text' ? 'text collate "C"' : typeOf(spec);
    return `${identifier(name)} ${type}${isNullable(spec) ? '' : ' not null'}`;
  });
  definitions.push('position bigint not null');
  const primary = `primary key (${list(key)})`;
  if (!model.appendOnly) definitions.push(primary);
  // Rows that change often find room for their next version on the same page.
  const fillfactor = model.appendOnly ? 100 : 70;
  const indexOf = (n: number, names: readonly string[]): string =>
    `create index if not exists ${identifier(`${table}_${n}`)} on ${tableName(table)} (${list(names)});`;
  return {
    create: `create table ${tableName(table)} (${definitions.join(', ')}) with (fillfactor = ${fillfactor});`,
    key: model.appendOnly ? `alter table ${tableName(table)} add ${primary};` : undefined,
    index: [['position'], ...indexes].map((names, n) => indexOf(n, names)).join('\n'),
  };
}

const made = new WeakMap<ReadModel, Map<string, TableSql>>();

export function tableSql(model: ReadModel, table: string): TableSql {
  const known = made.get(model)?.get(table);
  if (known) return known;
  const sql = makeTableSql(model, table);
  const tables = made.get(model) ?? new Map<string, TableSql>();
  made.set(model, tables.set(table, sql));
  return sql;
}

function makeTableSql(model: ReadModel, name: string): TableSql {
  const { columns: specs, key } = model.table;
  const columns = Object.keys(specs);
  const table = tableName(name);
  const arrays = (from: number, names: readonly string[]): string =>
    names.map((column, i) => `$${from + i}::${columnType(specs, column)}[]`).join(', ');
  const sameKey = key.map((column) => `t.${identifier(column)} = k.${identifier(column)}`).join(' and ');

  // Everything in one statement, so one transaction and one round trip. The other parts look at `moved`, so they
  // run after it: the checkpoint's row lock makes a second writer wait here, see that the position or the epoch
  // is another one, and write nothing.
  const others = columns.filter((column) => !key.includes(column));
  const update = [...others.map(identifier), 'position']
    .map((column) => `${column} = excluded.${column}`)
    .join(', ');
  const moved = `with moved as (
    update tallyback.checkpoint set position = $4, updated_at = now()
    where name = $1 and epoch = $2 and position = $3 returning 1
  ), written as (
    insert into ${table} (${list(columns)}, position)
    select * from unnest(${arrays(5, columns)}, $${5 + columns.length}::bigint[])
    where exists (select from moved)
    on conflict (${list(key)}) do update set ${update}
  )`;
  const removed = `, removed as (
    delete from ${table} t using unnest(${arrays(6 + columns.length, key)}) as k(${list(key)})
    where ${sameKey} and exists (select from moved)
  )`;
  const answer = ' select count(*)::int as moved from moved';
  const statement = (use: string, text: string): Statement => ({
    name: `${name}-v${model.version}-${use}`,
    text,
  });
  return {
    table,
    columns,
    selected: list(columns),
    load: statement(
      'load',
      `select ${columns.map((column) => `t.${identifier(column)}`).join(', ')}
       from unnest(${arrays(1, key)}) as k(${list(key)}) join ${table} t on ${sameKey}`,
    ),
    write: statement('write', moved + answer),
    writeAndRemove: statement('remove', moved + removed + answer),
  };
}
