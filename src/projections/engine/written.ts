/**
 * What one write changed, as its writer knows it: what a reader of changes in the same process would find in the
 * database, without looking.
 */
import type { Position } from '../../eventstore/port.ts';
import type { AnyRow, Key, ReadModel } from './read-model.ts';
import { type Generation, incarnationOf, type StoredRow } from './storage.ts';

export interface Written {
  /** The table had everything up to here before … */
  readonly after: Position;
  /** … and has everything up to here now. */
  readonly through: Position;
  /** See ChangePage. */
  readonly incarnation: string;
  /** By commit of their last change, then by key, as a reader finds them. */
  readonly rows: readonly { readonly row: AnyRow; readonly commit: bigint }[];
}

/** With more rows, reading them again is no more trouble than keeping them. */
const mostRows = 1_024;

/** Undefined if a reader has to look for itself: many rows were changed, or some were removed. */
export function writtenOf(
  { table }: Pick<ReadModel, 'table'>,
  generation: Generation,
  after: Position,
  through: Position,
  stored: readonly StoredRow[],
): Written | undefined {
  if (stored.length > mostRows) return undefined;
  const rows: Written['rows'][number][] = [];
  const columns = table.key.length;
  const sorted = stored.toSorted(
    (a, b) => Number(a.position.commit - b.position.commit) || compareKeys(a.key, b.key, columns),
  );
  for (const { row, position } of sorted) {
    if (!row) return undefined;
    rows.push({ row, commit: position.commit });
  }
  return { after, through, incarnation: incarnationOf(generation, generation.incarnation), rows };
}

function compareKeys(a: Key, b: Key, columns: number): number {
  for (let n = 0; n < columns; n++) {
    const [one, other] = [a[n], b[n]];
    if (one === undefined || other === undefined) return 0;
    const order =
      typeof one === 'string' ? compareTexts(one, String(other)) : one < other ? -1 : one > other ? 1 : 0;
    if (order !== 0) return order;
  }
  return 0;
}

/** As Postgres does with collation "C", by bytes of UTF-8: JavaScript compares halves of characters. */
const compareTexts = (a: string, b: string): number =>
  a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
