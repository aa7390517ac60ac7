/** Keys of rows in memory. */
import type { Columns, Key, ReadModel, RowOf } from '../../../src/projections/engine/read-model.ts';

export function keyOfRow<C extends Columns>(model: ReadModel<C>, row: RowOf<C>): Key {
  const values = new Map<string, unknown>(Object.entries(row));
  return model.table.key.map((column) => {
    const value = values.get(column);
    if (value instanceof Date || typeof value === 'bigint' || typeof value === 'number') return value;
    return String(value);
  });
}

export function compareValues(a: unknown, b: unknown): number {
  if (a instanceof Date && b instanceof Date) return a.getTime() - b.getTime();
  if (typeof a === 'bigint' && typeof b === 'bigint') return a < b ? -1 : a > b ? 1 : 0;
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return Buffer.compare(Buffer.from(String(a)), Buffer.from(String(b)));
}

export function compareKeys(a: Key, b: Key): number {
  for (const [index, value] of a.entries()) {
    const order = compareValues(value, b[index]);
    if (order !== 0) return order;
  }
  return 0;
}
