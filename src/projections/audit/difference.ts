/** How a row differs from what it should be. */
import type { AnyRow, Key } from '../engine/read-model.ts';
import type { PositionedRow } from './refold.ts';

export interface Difference {
  /** Of the row, as texts. */
  readonly key: readonly string[];
  /** `row` if it is there and should not be, or the other way round; `position`; or what was compared. */
  readonly column: string;
  readonly stored: string | undefined;
  readonly right: string | undefined;
}

type Value = AnyRow[string];

const mostShown = 200;

/** A value for people, and to compare by. */
function valueText(value: Value): string | undefined {
  if (value === undefined) return undefined;
  return value instanceof Date ? value.toISOString() : String(value);
}

const shown = (text: string | undefined): string | undefined =>
  text !== undefined && text.length > mostShown ? `${text.slice(0, mostShown)}…` : text;

/** Values of a key as texts. */
export const keyTexts = (key: Key): readonly string[] => key.map((value) => valueText(value) ?? '');

/** All columns and the position; none if the two are the same. */
export function differences(
  key: Key,
  stored: PositionedRow | undefined,
  right: PositionedRow | undefined,
): readonly Difference[] {
  const found: Difference[] = [];
  const add = (column: string, a: string | undefined, b: string | undefined): void => {
    if (a !== b) found.push({ key: keyTexts(key), column, stored: shown(a), right: shown(b) });
  };
  if (!stored || !right) {
    add('row', stored && 'is there', right && 'is there');
    return found;
  }
  for (const column of new Set([...Object.keys(right.row), ...Object.keys(stored.row)])) {
    add(column, valueText(stored.row[column]), valueText(right.row[column]));
  }
  add('position', String(stored.position), String(right.position));
  return found;
}

/** By row, under its key as JSON. */
export function rowsOf(found: readonly Difference[]): ReadonlyMap<string, readonly Difference[]> {
  const rows = new Map<string, Difference[]>();
  for (const one of found) {
    const name = JSON.stringify(one.key);
    rows.set(name, [...(rows.get(name) ?? []), one]);
  }
  return rows;
}
