/** Filters in memory, as the reader applies them in the database. */
import type { Columns, RowOf } from '../../projections/engine/read-model.ts';
import type { Filter } from '../../projections/engine/reading.ts';

/** Equal for equal values. */
export const comparable = (value: unknown): unknown => (value instanceof Date ? value.getTime() : value);

function below(a: unknown, b: unknown): boolean {
  const [x, y] = [comparable(a), comparable(b)];
  if (typeof x === 'number' && typeof y === 'number') return x < y;
  if (typeof x === 'bigint' && typeof y === 'bigint') return x < y;
  // By code points, as the database's "C" collation compares.
  if (typeof x === 'string' && typeof y === 'string')
    return Buffer.compare(Buffer.from(x), Buffer.from(y)) < 0;
  return false;
}

type Test = (value: unknown) => boolean;

function testOf(condition: unknown): Test {
  if (typeof condition === 'object' && condition !== null && !(condition instanceof Date)) {
    if ('in' in condition && Array.isArray(condition.in)) {
      if (condition.in.length === 1) return testOf(condition.in[0]);
      const values = new Set(condition.in.map(comparable));
      return (value) => values.has(comparable(value));
    }
    const from = 'from' in condition ? condition.from : undefined;
    const until = 'until' in condition ? condition.until : undefined;
    return (value) =>
      (from === undefined || !below(value, from)) && (until === undefined || below(value, until));
  }
  const wanted = comparable(condition);
  return (value) => comparable(value) === wanted;
}

/** Whether a row meets all conditions of a filter. */
export function matcher<C extends Columns>(filter: Filter<C>): (row: RowOf<C>) => boolean {
  const conditions: readonly (readonly [string, unknown])[] = Object.entries(filter);
  const tests = conditions
    .filter(([, condition]) => condition !== undefined)
    .map(([column, condition]) => ({ column, test: testOf(condition) }));
  if (tests.length === 0) return () => true;
  return (row) => {
    const values: Readonly<Record<string, unknown>> = row;
    return tests.every(({ column, test }) => test(values[column]));
  };
}
