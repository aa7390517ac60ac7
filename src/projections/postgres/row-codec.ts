/**
 * Rows between TypeScript and Postgres. Out: every column of a batch is one array in text form (measured: the
 * fastest of the ways to write many rows that need no COPY). In: texts, made into what the column declares.
 */
import pg from 'pg';
import type { AnyRow, Columns, ColumnSpec, ColumnType, Key, RowOf } from '../engine/read-model.ts';

export const typeOf = (spec: ColumnSpec): ColumnType => (typeof spec === 'string' ? spec : spec.type);
export const isNullable = (spec: ColumnSpec): boolean => typeof spec !== 'string';

type Value = AnyRow[string];

/** Numbers Postgres gives its types (pg_type.oid), the same everywhere. */
const oids = { bool: 16, int8: 20, int4: 23, timestamptz: 1184 } as const;
const parseTime = pg.types.getTypeParser(pg.types.builtins.TIMESTAMPTZ, 'text');

function parserOf(oid: number): (text: string) => unknown {
  switch (oid) {
    case oids.int8:
      return BigInt;
    case oids.int4:
      return Number;
    case oids.bool:
      return (text) => text === 't';
    case oids.timestamptz:
      return parseTime;
    default:
      return (text) => text;
  }
}

/** For queries with `rowMode: 'array'`: the values as ColumnTypes says. */
export const columnParsers = { getTypeParser: parserOf };

/** Values of a row as the driver gave them, in order of the columns, from an index on. */
export function decodeRow<C extends Columns>(
  columns: readonly (keyof C & string)[],
  values: readonly unknown[],
  offset = 0,
): RowOf<C> {
  const row: Record<string, unknown> = {};
  for (let i = 0; i < columns.length; i++) {
    const value = values[offset + i];
    row[columns[i] ?? ''] = value === null ? undefined : value;
  }
  // The table was created from these columns, and the parsers above follow its types: here the database's word
  // is taken for it.
  return row as RowOf<C>;
}

/** The key of a row. Throws TypeError if a key column has no value. */
export function keyOf(key: readonly string[], row: AnyRow): Key {
  return key.map((column) => {
    const value = row[column];
    if (value === undefined || typeof value === 'boolean') throw new TypeError(`${column} cannot be a key`);
    return value;
  });
}

/** A value as text Postgres reads. */
export function encodeValue(value: Exclude<Value, undefined>): string {
  return value instanceof Date ? value.toISOString() : String(value);
}

const mustEscape = /["\\]/;

function encodeElement(type: ColumnType, value: Value): string {
  if (value === undefined) return 'NULL';
  const text = encodeValue(value);
  if (type !== 'text' && type !== 'json') return type === 'timestamptz' ? `"${text}"` : text;
  return `"${mustEscape.test(text) ? text.replace(/["\\]/g, '\\$&') : text}"`;
}

/** Values as the text of a Postgres array. */
export const encodeArray = (type: ColumnType, values: readonly Value[]): string =>
  `{${values.map((value) => encodeElement(type, value)).join(',')}}`;

/** One array per key column. */
export const encodeKeys = (columns: Columns, key: readonly string[], keys: readonly Key[]): string[] =>
  key.map((column, i) =>
    encodeArray(
      columnType(columns, column),
      keys.map((values) => values[i]),
    ),
  );

export function columnType(columns: Columns, column: string): ColumnType {
  const spec = columns[column];
  if (spec === undefined) throw new TypeError(`there is no column ${column}`);
  return typeOf(spec);
}

const mustEscapeLine = /[\\\n\r\t]/;
const lineEscapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** A value in COPY's text format. */
function encodeField(value: Value): string {
  if (value === undefined) return '\\N';
  const text = encodeValue(value);
  if (typeof value !== 'string' || !mustEscapeLine.test(text)) return text;
  return text.replace(/[\\\n\r\t]/g, (character) => lineEscapes[character] ?? character);
}

/** Rows in COPY's text format, `position` last, in pieces of some 100 KB. */
export function* encodeLines(
  columns: readonly string[],
  rows: readonly { readonly row: AnyRow | undefined; readonly position: { readonly commit: bigint } }[],
): Generator<string> {
  for (let at = 0; at < rows.length; at += linesPerPiece) {
    const some = rows.slice(at, at + linesPerPiece);
    // A column at a time: its values are of one kind, which is what the compiler of JavaScript likes.
    const fields = columns.map((name) => some.map(({ row }) => encodeField(row?.[name])));
    yield some
      .map(({ position }, i) => {
        let line = '';
        for (const column of fields) line += `${column[i]}\t`;
        return `${line}${position.commit}\n`;
      })
      .join('');
  }
}

const linesPerPiece = 500;
