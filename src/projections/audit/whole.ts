/**
 * Every table against the whole log, exactly: for when it has to be known, and for those tables whose rows many streams
 * make.
 *
 * So that memory stays bounded, rows are taken in slices, by a hash of their keys; each slice is one pass over the
 * tables, each as it was at one moment, and one over the log, up to where each table's checkpoint stood then.
 */
import { comparePositions, type EventStore, logStart, type Position } from '../../eventstore/port.ts';
import type { ReadModel } from '../engine/read-model.ts';
import type { Generation } from '../engine/storage.ts';
import type { Holds } from './holds.ts';
import { eventsUpTo } from './log-part.ts';
import { type AuditedTable, type CurrencyMoney, Slice, sliceOf } from './slice.ts';
import type { PositionedRow } from './refold.ts';

/** What it reads from the database. */
export interface WholeStorage {
  /** Rows of a table, and the bytes they are as text. */
  size(generation: Generation): Promise<{ readonly rows: number; readonly bytes: number } | undefined>;
  /** Gives all rows as they are at one moment; undefined if the generation does not serve (any more). */
  snapshot(
    model: ReadModel,
    generation: Generation,
    take: (rows: readonly PositionedRow[]) => void,
    signal: AbortSignal,
  ): Promise<{ readonly through: Position; readonly holds: Holds } | undefined>;
}

export interface WholeOptions {
  readonly store: Pick<EventStore, 'subscribe'>;
  readonly storage: WholeStorage;
  readonly tables: readonly (readonly [ReadModel, Generation])[];
  readonly signal: AbortSignal;
  /** Rows of a slice, and their bytes as text, at most about. */
  readonly sliceRows?: number;
  readonly sliceBytes?: number;
  readonly onProgress?: (slice: number, slices: number, events: number) => void;
}

export interface WholeResult {
  readonly tables: readonly AuditedTable[];
  /** Absent if balances were not audited. */
  readonly money: readonly CurrencyMoney[];
  readonly slices: number;
}

const defaultRows = 100_000;
const defaultBytes = 32 * 1024 * 1024;

export async function auditWhole(options: WholeOptions): Promise<WholeResult> {
  const { storage, tables, sliceRows = defaultRows, sliceBytes = defaultBytes } = options;
  const sizes = await Promise.all(tables.map(([, generation]) => storage.size(generation)));
  const rows = sizes.reduce((sum, size) => sum + (size?.rows ?? 0), 0);
  const bytes = sizes.reduce((sum, size) => sum + (size?.bytes ?? 0), 0);
  for (let slices = Math.max(1, Math.ceil(rows / sliceRows), Math.ceil(bytes / sliceBytes)); ; slices *= 2) {
    const result = await inSlices(options, slices, 2 * sliceRows);
    if (result) return result;
  }
}

/** Undefined when the log makes many more rows than there are: more slices are needed. */
async function inSlices(
  options: WholeOptions,
  slices: number,
  mostRows: number,
): Promise<WholeResult | undefined> {
  const { store, storage, tables, signal, onProgress } = options;
  const done = new Map<string, AuditedTable>();
  const money = new Map<string, CurrencyMoney>();
  for (let number = 0; number < slices; number++) {
    const parts: Slice[] = [];
    for (const [model, generation] of tables) {
      const wanted = (text: string): boolean => sliceOf(text, slices) === number;
      const slice = new Slice(model, generation, wanted);
      const moment = await storage.snapshot(model, generation, (page) => slice.store(page), signal);
      if (!moment) continue;
      slice.begin(moment.through, moment.holds);
      parts.push(slice);
    }
    const upTo = parts.reduce(
      (most, { through }) => (comparePositions(through, most) > 0 ? through : most),
      logStart,
    );
    let events = 0;
    for await (const batch of eventsUpTo(store, logStart, upTo, signal)) {
      for (const event of batch) for (const part of parts) part.take(event);
      events += batch.length;
      onProgress?.(number + 1, slices, events);
      if (parts.reduce((sum, { folded }) => sum + folded, 0) > mostRows) return undefined;
    }
    for (const part of parts) part.end(done, money);
  }
  return { tables: [...done.values()], money: [...money.values()], slices };
}
