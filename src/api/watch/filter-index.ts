/**
 * Whom a row may concern, without asking everybody: ten thousand who watch one member each are found by the member's
 * name. Filters that name no certain value of any column are asked for every row.
 */
import type { Columns, RowOf } from '../../projections/engine/read-model.ts';
import type { Filter } from '../../projections/engine/reading.ts';
import { comparable } from './matches.ts';

interface Named {
  readonly column: string;
  readonly values: readonly unknown[];
}

export class FilterIndex<C extends Columns, Holder> {
  readonly #everything = new Set<Holder>();
  /** Mostly there is one holder of a value, of whom a set would take 200 bytes. */
  readonly #byColumn = new Map<string, Map<unknown, Holder[]>>();

  add(filter: Filter<C>, holder: Holder): void {
    const named = firstNamed(filter);
    if (!named) {
      this.#everything.add(holder);
      return;
    }
    const byValue = this.#byColumn.get(named.column) ?? new Map<unknown, Holder[]>();
    this.#byColumn.set(named.column, byValue);
    for (const value of named.values) {
      const holders = byValue.get(value);
      if (holders) holders.push(holder);
      else byValue.set(value, [holder]);
    }
  }

  delete(filter: Filter<C>, holder: Holder): void {
    const named = firstNamed(filter);
    this.#everything.delete(holder);
    const byValue = named && this.#byColumn.get(named.column);
    for (const value of named?.values ?? []) {
      const holders = byValue?.get(value);
      const at = holders?.indexOf(holder) ?? -1;
      if (at >= 0) holders?.splice(at, 1);
      if (holders?.length === 0) byValue?.delete(value);
    }
  }

  /** All whose filters may match, in groups; the caller looks whether they do. */
  candidates(row: RowOf<C>): readonly Iterable<Holder>[] {
    const values: Readonly<Record<string, unknown>> = row;
    const found: Iterable<Holder>[] = [this.#everything];
    for (const [column, byValue] of this.#byColumn) {
      const holders = byValue.get(comparable(values[column]));
      if (holders) found.push(holders);
    }
    return found;
  }
}

function firstNamed<C extends Columns>(filter: Filter<C>): Named | undefined {
  const conditions: readonly (readonly [string, unknown])[] = Object.entries(filter);
  for (const [column, condition] of conditions) {
    if (typeof condition !== 'object' || condition === null || condition instanceof Date) {
      if (condition !== undefined) return { column, values: [comparable(condition)] };
    } else if ('in' in condition && Array.isArray(condition.in)) {
      return { column, values: condition.in.map(comparable) };
    }
  }
  return undefined;
}
