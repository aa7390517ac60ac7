/** How read models are queried: what the API needs of every table, and nothing else. */
import type { Position } from '../../eventstore/port.ts';
import type { Columns, Key, ReadModel, RowOf } from './read-model.ts';
import type { Written } from './written.ts';

/** Conditions on columns, all of which must hold: equal to, one of, or in [from, until). Undefined is no condition. */
export type Filter<C extends Columns> = {
  readonly [K in keyof C]?:
    | RowOf<C>[K]
    | { readonly in: readonly RowOf<C>[K][] }
    | { readonly from?: RowOf<C>[K] | undefined; readonly until?: RowOf<C>[K] | undefined };
};

/** Rows and the position they are complete through: read at one moment. */
export interface Page<C extends Columns> {
  readonly rows: readonly RowOf<C>[];
  /** Key to go on after; undefined on the last page. */
  readonly next: Key | undefined;
  readonly through: Position;
  /** Of the table that was read: see ChangePage. */
  readonly incarnation: string;
}

/** Where a reader of changes stands: everything up to `position`, and of that position's rows those up to `key`. */
export interface ChangeCursor {
  readonly position: Position;
  readonly key: Key | undefined;
}

export interface ChangePage<C extends Columns> {
  readonly rows: readonly RowOf<C>[];
  /** The commit of each row's last change, in the same order. */
  readonly commits: readonly bigint[];
  readonly cursor: ChangeCursor;
  /** No more changes were there when it was read; then every change up to `through` has been seen. */
  readonly end: boolean;
  readonly through: Position;
  /**
   * Another one than before: rows have changed without their positions having risen (the read model was folded anew,
   * or put right), so only a snapshot tells what is there.
   */
  readonly incarnation: string;
}

export interface ListOptions<C extends Columns> {
  readonly filter?: Filter<C>;
  readonly after?: Key | undefined;
  readonly limit: number;
  readonly orderBy?: readonly { readonly column: keyof C & string; readonly descending?: boolean }[];
}

export interface ReadModelReader {
  /** One row, and the position the answer is complete through. */
  get<C extends Columns>(
    model: ReadModel<C>,
    key: Key,
  ): Promise<{ row: RowOf<C> | undefined; through: Position }>;
  /** A page of rows in key order (or by `orderBy`, which must then be limited to one page). */
  list<C extends Columns>(model: ReadModel<C>, options: ListOptions<C>): Promise<Page<C>>;
  /**
   * All rows that match, in key order, in pages, at one moment (one repeatable-read transaction, open until the
   * last page is read, the reading is broken off, or the signal aborts: read it swiftly).
   */
  snapshot<C extends Columns>(
    model: ReadModel<C>,
    filter: Filter<C>,
    signal: AbortSignal,
  ): Promise<{
    readonly through: Position;
    readonly incarnation: string;
    readonly pages: AsyncIterable<readonly RowOf<C>[]>;
  }>;
  /** Rows changed after a cursor, in position order, each as it is now. */
  changes<C extends Columns>(
    model: ReadModel<C>,
    filter: Filter<C>,
    after: ChangeCursor,
    limit: number,
  ): Promise<ChangePage<C>>;
}

/** How far projections and policies are. Names: "projection:balance", "policy:order-rebate". */
export interface Progress {
  /** The position everything up to which is handled and committed. */
  through(name: string): Promise<Position>;
  /** All that run or have run. */
  list(): Promise<readonly { readonly name: string; readonly position: Position }[]>;
  /** Resolves when `name` has handled everything up to `position`; rejects when the signal aborts. */
  reached(name: string, position: Position, signal: AbortSignal): Promise<void>;
  /**
   * Calls back (soon, coalesced) after `name` has advanced, or another table serves; returns how to stop that. What was
   * written since the last call is told where it is known, else undefined: then it is to be read.
   */
  onAdvance(name: string, callback: (written: readonly Written[] | undefined) => void): () => void;
}
