/**
 * The last changes of one read model, in memory: segments that join end to start, each (after, through] with the rows
 * changed in between, as they were then. The oldest are dropped when it becomes too much.
 */
import { comparePositions, type Position } from '../../eventstore/port.ts';
import type { Columns, ReadModel, RowOf } from '../../projections/engine/read-model.ts';
import { comparable } from './matches.ts';

/** Rows kept, and so the most that one commit may change and still be served from here. */
export const keptRows = 4_096;
const keptSegments = 256;

export interface Changed<C extends Columns> {
  readonly after: Position;
  readonly through: Position;
  readonly rows: readonly RowOf<C>[];
  /** Of each row, when it changed. */
  readonly commits: readonly bigint[];
}

export interface Segment<C extends Columns> extends Changed<C> {
  /** Events by scope, for filters that several have. */
  readonly encoded: Map<string, readonly Uint8Array[]>;
}

/** What changed after a position: one segment as it is, or rows of several, each in its last state. */
type Recent<C extends Columns> = { readonly segment: Segment<C> } | { readonly rows: readonly RowOf<C>[] };

export class Segments<C extends Columns> {
  readonly #model: Pick<ReadModel<C>, 'table'>;
  #segments: Segment<C>[] = [];
  #rows = 0;
  #tip: Position | undefined;

  constructor(model: Pick<ReadModel<C>, 'table'>) {
    this.#model = model;
  }

  /** Where they end; undefined before that is known. */
  get tip(): Position | undefined {
    return this.#tip;
  }

  /** Forgets all there was; the next one begins here. */
  restart(tip: Position | undefined): void {
    this.#segments = [];
    this.#rows = 0;
    this.#tip = tip;
  }

  /** One that begins at the tip. */
  append(changed: Changed<C>): void {
    this.#segments.push({ ...changed, encoded: new Map() });
    this.#rows += changed.rows.length;
    this.#tip = changed.through;
    while (this.#segments.length > keptSegments || (this.#rows > keptRows && this.#segments.length > 1)) {
      this.#rows -= this.#segments.shift()?.rows.length ?? 0;
    }
  }

  /** What changed after a position before the tip; undefined if not all of that is kept. */
  since(position: Position): Recent<C> | undefined {
    // That is what nearly all want.
    const last = this.#segments.at(-1);
    if (last && comparePositions(last.after, position) === 0) return { segment: last };
    const first = 1 + this.#segments.findLastIndex(({ through }) => comparePositions(through, position) <= 0);
    const segment = this.#segments[first];
    if (!segment || comparePositions(segment.after, position) > 0) return undefined;
    return { rows: this.#latest(first, position) };
  }

  /** Of every row that changed after a position only the last state, in order of that. */
  #latest(first: number, position: Position): readonly RowOf<C>[] {
    const latest = new Map<string, RowOf<C>>();
    for (const { rows, commits } of this.#segments.slice(first)) {
      for (const [n, row] of rows.entries()) {
        if ((commits[n] ?? 0n) <= position.commit) continue;
        const values: Readonly<Record<string, unknown>> = row;
        const name = JSON.stringify(
          this.#model.table.key.map((column) => String(comparable(values[column]))),
        );
        // Deleted first, so that rows stay in order of their last change.
        latest.delete(name);
        latest.set(name, row);
      }
    }
    return [...latest.values()];
  }
}
