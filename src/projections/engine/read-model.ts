/** What a read model is: a table, and a pure fold that says how an event changes its rows. */
import type { DomainEvent, EventType } from '../../domain/events.ts';
import type { Position } from '../../eventstore/port.ts';

/** Column types a read model may use, and what they are in TypeScript. */
export interface ColumnTypes {
  text: string;
  /** int64: money in minor units, counts. */
  bigint: bigint;
  integer: number;
  boolean: boolean;
  /** Millisecond precision. */
  timestamptz: Date;
  /** JSON text, written by the fold itself (so that it is the same to the byte whenever it is made). */
  json: string;
}
export type ColumnType = keyof ColumnTypes;

/** A column; `nullable` ones are undefined in rows where they have no value. */
export type ColumnSpec = ColumnType | { readonly type: ColumnType; readonly nullable: true };
export type Columns = Readonly<Record<string, ColumnSpec>>;

type ValueOf<S extends ColumnSpec> = S extends ColumnType
  ? ColumnTypes[S]
  : S extends { readonly type: infer T extends ColumnType }
    ? ColumnTypes[T] | undefined
    : never;

/** A row of a table with these columns. */
export type RowOf<C extends Columns> = { readonly [K in keyof C]: ValueOf<C[K]> };

export interface TableSpec<C extends Columns> {
  readonly columns: C;
  /** The primary key, in order; lists and pages are sorted by it. */
  readonly key: readonly string[];
  /** Further indexes, of the columns in this order, all ascending. Every table also has one on the position. */
  readonly indexes?: readonly (readonly string[])[];
}

/**
 * That keys and indexes name columns. Asked for where a table is declared, and not a part of TableSpec: it would
 * keep a table of certain columns from being a table of any columns.
 */
export interface NamesColumns<C extends Columns> {
  readonly table: {
    readonly key: readonly (keyof C & string)[];
    readonly indexes?: readonly (readonly (keyof C & string)[])[];
  };
}

/** An event with its place in the log. */
export interface LoggedEvent<T extends EventType = EventType> {
  readonly event: DomainEvent<T>;
  readonly stream: string;
  readonly revision: number;
  readonly position: Position;
}

/** Values of the key columns, in order. */
export type Key = readonly (string | bigint | number | Date)[];

/** A row of any table. */
export type AnyRow = RowOf<Columns>;

export interface ReadModel<C extends Columns = Columns, T extends EventType = EventType> {
  /** Its tables, checkpoints and leases are named after it. */
  readonly name: string;
  /** Raised whenever the table or the fold changes meaning: it is then folded anew, in a table of its own. */
  readonly version: number;
  readonly table: TableSpec<C>;
  readonly handles: readonly T[];
  /**
   * Every key is written by exactly one event: the engine then never looks for the row before (the fold always
   * gets undefined), which halves the work of a long, growing table.
   */
  readonly appendOnly?: boolean;
  /**
   * How it may be folded in several threads, if there are any (how many is for the machine to say, not for the model).
   * `stream`: every row is made by the events of one stream alone, so that whole streams are dealt out, and with them
   * the work of decoding. `key`: rows are dealt out; every thread decodes all events. Absent: it is not worth it.
   */
  readonly partitionBy?: 'stream' | 'key';
  /**
   * When an event cannot be folded, also not a second and third time: `park` its row with all later events for it and
   * go on with everything else (the default), or `stop` before it, where a row that is left behind is worse than
   * all of them waiting.
   */
  readonly onFailure?: 'park' | 'stop';
  /** The one stream whose events alone make the row of a key, if there is one: it can be audited by itself. */
  streamOf?(key: Key): string;
  /** Where every row is made by one event of that stream: its revision. */
  revisionOf?(key: Key): number;
  /** The rows an event changes; none if it does not concern this read model after all. */
  keys(logged: LoggedEvent<T>): readonly Key[];
  /** The row after the event; the same object if nothing changed; undefined to remove it. Pure. */
  fold(row: RowOf<C> | undefined, logged: LoggedEvent<T>, key: Key): RowOf<C> | undefined;
}

/** Has the compiler check a declaration and remember its columns and events. */
export const defineReadModel = <const C extends Columns, const T extends EventType>(
  model: ReadModel<C, T> & NamesColumns<C>,
): ReadModel<C, T> => model;
