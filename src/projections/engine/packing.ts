/**
 * Events and rows on their way between threads. In columns: the structured clone writes the names of the fields
 * of every object again, and looks them up; whoever receives objects pays three to four times as much (measured).
 */
import type { Position } from '../../eventstore/port.ts';
import type { EventBatch, Slot } from './fold-batch.ts';
import type { AnyRow, Columns, Key, TableSpec } from './read-model.ts';
import { keyText } from './row-key.ts';

type FoldedEvent = EventBatch['events'][number];

/** In each, one entry per event. */
export interface PackedEvents {
  readonly types: readonly string[];
  readonly data: readonly string[];
  readonly streams: readonly string[];
  readonly revisions: readonly number[];
  /** Two per event: commit, prepare. */
  readonly positions: BigInt64Array;
}

function packPositions(placed: readonly { readonly position: Position }[]): BigInt64Array {
  const positions = new BigInt64Array(2 * placed.length);
  for (const [i, { position }] of placed.entries()) {
    positions[2 * i] = position.commit;
    positions[2 * i + 1] = position.prepare;
  }
  return positions;
}

const positionAt = (positions: BigInt64Array, i: number): Position => ({
  commit: positions[2 * i] ?? 0n,
  prepare: positions[2 * i + 1] ?? 0n,
});

export const packEvents = (events: readonly FoldedEvent[]): PackedEvents => ({
  types: events.map(({ type }) => type),
  data: events.map(({ data }) => data),
  streams: events.map(({ stream }) => stream),
  revisions: events.map(({ revision }) => revision),
  positions: packPositions(events),
});

export const unpackEvents = ({
  types,
  data,
  streams,
  revisions,
  positions,
}: PackedEvents): readonly FoldedEvent[] =>
  types.map((type, i) => ({
    type,
    data: data[i] ?? '',
    stream: streams[i] ?? '',
    revision: revisions[i] ?? 0,
    position: positionAt(positions, i),
  }));

/** A row that has changed, and the event that did it. */
type Changed = Pick<Slot, 'key' | 'row' | 'stored'> & { readonly position: NonNullable<Slot['position']> };

export interface PackedRows {
  /** Values of the key columns, row after row. */
  readonly keys: readonly Key[number][];
  /** Values of all columns, row after row, of the rows that are not removed. */
  readonly values: readonly AnyRow[string][];
  /** One per row. */
  readonly removed: readonly boolean[];
  readonly stored: readonly (boolean | undefined)[];
  /** Two per row: commit, prepare. */
  readonly positions: BigInt64Array;
}

export function packRows({ columns }: TableSpec<Columns>, rows: readonly Changed[]): PackedRows {
  const names = Object.keys(columns);
  return {
    keys: rows.flatMap(({ key }) => key),
    values: rows.flatMap(({ row }) => (row ? names.map((name) => row[name]) : [])),
    removed: rows.map(({ row }) => row === undefined),
    stored: rows.map(({ stored }) => stored.yes),
    positions: packPositions(rows),
  };
}

/** By text of the key. */
export function unpackRows(
  { columns, key: keyColumns }: TableSpec<Columns>,
  { keys, values, removed, stored, positions }: PackedRows,
): ReadonlyMap<string, Changed> {
  const names = Object.keys(columns);
  const rows = new Map<string, Changed>();
  let at = 0;
  for (let i = 0; i < removed.length; i++) {
    const key = keys.slice(i * keyColumns.length, (i + 1) * keyColumns.length);
    let row: Record<string, AnyRow[string]> | undefined;
    if (!removed[i]) {
      row = {};
      for (const name of names) row[name] = values[at++];
    }
    const position = positionAt(positions, i);
    rows.set(keyText(key), { key, row, position, stored: { yes: stored[i] } });
  }
  return rows;
}
