/** What the audit asks of the database. */
import type { Position } from '../../eventstore/port.ts';
import type { Key, ReadModel } from '../engine/read-model.ts';
import type { Generation, Held } from '../engine/storage.ts';
import type { Difference } from './difference.ts';
import type { Holds } from './holds.ts';
import type { Holdings } from './money.ts';
import type { PositionedRow } from './refold.ts';

/** Rows and all that is needed to judge them, at one moment. */
export interface Look {
  /** Where the checkpoint stood. */
  readonly through: Position;
  readonly holds: Holds;
  readonly rows: readonly PositionedRow[];
}

export interface Totals {
  readonly through: Position;
  readonly holds: Holds;
  /** Sums over all rows by currency. */
  readonly sums: ReadonlyMap<string, Holdings>;
}

/** Which rows to look at. */
export type Rows =
  | { readonly keys: readonly Key[] }
  /** In the order of their keys, after this one. */
  | { readonly after: readonly string[] | undefined; readonly limit: number }
  /** Those that changed last, of those that changed after this commit position. */
  | { readonly changedAfter: bigint; readonly limit: number };

/** How far the audit is; kept together with its checkpoint, which is the position of `ledgers`. */
export interface AuditState {
  readonly position: Position;
  /** By currency, what all amounts up to the position come to. */
  readonly ledgers: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** By read model: the row looked at last, and up to where changed rows have been looked at. */
  readonly tables: Readonly<Record<string, TableState>>;
  /** Where the walk through the log, in search of missing rows, is. */
  readonly walked: Position;
  /** By currency, at the last comparison. */
  readonly imbalances: Readonly<Record<string, string>>;
}

export interface TableState {
  readonly after: readonly string[] | undefined;
  readonly seen: string;
}

/** A difference, and when it was found. */
export interface Finding extends Difference {
  readonly id: bigint;
  readonly readModel: string;
  readonly generation: number;
  readonly foundAt: Date;
  readonly lastSeenAt: Date;
  /** When it was found right again. */
  readonly mendedAt: Date | undefined;
}

/** What everybody may know of the audit. */
export interface AuditReport {
  /** When it last got through a step without failing. */
  readonly lastSuccessAt: Date | undefined;
  readonly imbalances: ReadonlyMap<string, bigint>;
  /** By read model: all there have ever been, and those that are still there. */
  readonly differences: ReadonlyMap<string, { readonly all: number; readonly open: number }>;
}

export interface AuditStorage {
  /** Undefined if the generation does not serve (any more). */
  look(model: ReadModel, generation: Generation, rows: Rows): Promise<Look | undefined>;
  /** Those keys that have no row. */
  missing(model: ReadModel, generation: Generation, keys: readonly Key[]): Promise<readonly Key[]>;
  /** Of the read model of balances; undefined as above. */
  totals(generation: Generation): Promise<Totals | undefined>;
  load(): Promise<AuditState | undefined>;
  /** Moves the checkpoint and keeps the state, or does neither: false, if somebody else has claimed it. */
  save(held: Held, from: Position, state: AuditState): Promise<boolean>;
  /** Notes differences of a row (by key), instead of those that were noted before; answers how many are new. */
  note(generation: Generation, key: readonly string[], found: readonly Difference[]): Promise<number>;
  /** Keys of rows of which there are findings that are not mended. */
  open(generation: Generation): Promise<readonly (readonly string[])[]>;
  report(): Promise<AuditReport>;
  /** The latest. */
  findings(limit: number): Promise<readonly Finding[]>;
}
