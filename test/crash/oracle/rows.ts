/** Rows in a form in which what was recomputed and what a table holds can be compared. */

type Value = string | bigint | number | boolean | Date | undefined;
export type Row = Readonly<Record<string, Value>>;

/** The rows that a read model must have, under their keys. */
export interface Expected {
  readonly key: readonly string[];
  readonly rows: ReadonlyMap<string, Row>;
  /** A row that is not there stands for one of nothing but zeros. */
  readonly zerosMayBeMissing?: boolean;
}

export const keyText = (...parts: readonly unknown[]): string => parts.map(text).join(' | ');

/** As Postgres' driver gives it, or as it was recomputed; of a JSON array only how long it is. */
function text(value: unknown): string {
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return `${value.length} entries`;
  return String(value);
}

export function differences(
  name: string,
  { key, rows, zerosMayBeMissing = false }: Expected,
  stored: readonly Readonly<Record<string, unknown>>[],
): string[] {
  const found: string[] = [];
  const unseen = new Set(rows.keys());
  for (const row of stored) {
    const at = keyText(...key.map((column) => row[column]));
    const expected = rows.get(at);
    if (!unseen.delete(at)) found.push(`${name}: a row too many, ${at}`);
    for (const [column, value] of Object.entries(expected ?? {})) {
      if (text(value) !== text(row[column]))
        found.push(`${name}: ${at}: ${column} is ${text(row[column])}, by the log it is ${text(value)}`);
    }
  }
  for (const at of unseen) {
    const nothing = Object.values(rows.get(at) ?? {}).every((value) => value === 0n);
    if (!(zerosMayBeMissing && nothing)) found.push(`${name}: no row for ${at}`);
  }
  return found;
}
