/**
 * What the engine asks of the database. Every call is one transaction: it happens as a whole or not at all, and one
 * that fails without an answer may have happened. Calls reject when the database cannot be reached, and the engine
 * then starts again from what is stored.
 *
 * Who may write is decided by the checkpoint alone: whoever claims it raises its epoch, every write names epoch and
 * position it comes from, and a writer that was paused, cut off or replaced names others than those stored and is
 * refused, whatever it believes. Leases (an instance that says in time that it lives keeps what it has) only decide
 * who tries. They are kept on the database's clock.
 */
import type { Position } from '../../eventstore/port.ts';
import type { AnyRow, Key, ReadModel } from './read-model.ts';

/** A claimed checkpoint. */
export interface Held {
  /** "projection:balance/2" (the second generation), "policy:order-rebate". */
  readonly name: string;
  readonly position: Position;
  readonly epoch: bigint;
}

/** An instance of the server as it tells of itself. */
export interface Beat {
  readonly instance: string;
  /** Names of checkpoints it is able (and willing) to lead. */
  readonly able: readonly string[];
  /** Milliseconds after which it counts as dead if it is not heard of again. */
  readonly ttl: number;
}

/** All instances and leases, at one moment. */
export interface Cluster {
  /** Those that live. */
  readonly instances: readonly { readonly id: string; readonly able: readonly string[] }[];
  /** Of checkpoints that are led by an instance that lives. */
  readonly leases: readonly { readonly name: string; readonly owner: string }[];
  readonly generations: readonly Generation[];
}

/**
 *   building → serving → kept → dropped          (a rebuild that goes well, and what becomes of the table after the next)
 *   building → dropped                           (cancelled, or a dry run)
 *   kept → building → serving                    (a rollback)
 */
export type GenerationState = 'building' | 'serving' | 'kept' | 'dropped';

/** What a generation that is being built is at. */
export type Stage = 'loading' | 'indexing' | 'catching-up' | 'verifying' | 'differs' | 'failed' | 'done';

/** What operators want of a generation that is being built. */
export type Wish = 'run' | 'pause' | 'cancel';

/** A table of a read model with a checkpoint of its own. Of each version of the code one generation serves. */
export interface Generation {
  readonly model: string;
  /** 1, 2, 3 … */
  readonly number: number;
  /** Of the read model's declaration. */
  readonly version: number;
  /** Columns and their types when it was made. */
  readonly columns: Readonly<Record<string, string>>;
  readonly table: string;
  readonly state: GenerationState;
  readonly stage: Stage;
  readonly wish: Wish;
  /** Only to be verified, then dropped. */
  readonly dryRun: boolean;
  /** Swapped in even if it differs from the one that serves. */
  readonly accepted: boolean;
  /** Raised when rows have changed without their positions having risen: who follows changes starts again. */
  readonly incarnation: number;
}

/** Name of a generation's checkpoint and lease. */
export const leaseName = ({ model, number }: Pick<Generation, 'model' | 'number'>): string =>
  `projection:${model}/${number}`;

/** Names a state of the table within which rows only change with their positions rising. */
export const incarnationOf = ({ number }: Pick<Generation, 'number'>, incarnation: unknown): string =>
  `${number}.${String(incarnation)}`;

/** How far a read model is, whichever generation serves: the name under which others wait for it. */
export const checkpointName = ({ name }: Pick<ReadModel, 'name'>): string => `projection:${name}`;

/** A row as it is to be in the table. */
export interface StoredRow {
  readonly key: Key;
  /** Undefined: there is to be none. */
  readonly row: AnyRow | undefined;
  /** Of the last event that changed it. */
  readonly position: Position;
  /** Whether the table has the row; undefined if that is not known. */
  readonly isStored: boolean | undefined;
}

/** What cannot be folded, and everything after it: one row of a table, or (where not even that is known) a stream. */
export interface ParkedEvent {
  /** See `parkedRow` and `parkedStream`. */
  readonly scope: string;
  readonly stream: string;
  readonly revision: number;
  readonly type: string;
  readonly position: Position;
  /** Of the first event of the scope: why; later ones only wait. */
  readonly error: string | undefined;
  readonly stack: string | undefined;
}

/** `row:["M-1","GBP"]`, of a key's text (see row-key.ts). */
export const parkedRow = (keyText: string): string =>
  `row:${JSON.stringify(keyText.split('\0').slice(0, -1))}`;
export const parkedStream = (stream: string): string => `stream:${stream}`;

/** One batch of a line: written as a whole, if the checkpoint is where and whose it should be. */
export interface WriteBatch {
  readonly model: ReadModel;
  readonly generation: Generation;
  readonly held: Held;
  /** Where the checkpoint is now. */
  readonly from: Position;
  readonly to: Position;
  readonly rows: readonly StoredRow[];
  readonly parked: readonly ParkedEvent[];
}

/** What a line writes to. */
export interface LineStorage {
  /** The rows of these keys that there are, with their keys. */
  load(
    model: ReadModel,
    generation: Generation,
    keys: readonly Key[],
  ): Promise<readonly { readonly key: Key; readonly row: AnyRow }[]>;
  /** Scopes in which events are parked. */
  parkedScopes(generation: Generation): Promise<ReadonlySet<string>>;
  /** False: the checkpoint is elsewhere or somebody else's, and nothing was written. */
  write(batch: WriteBatch): Promise<boolean>;
  /** Moves a checkpoint over events that changed nothing; false as above. */
  move(held: Held, from: Position, to: Position): Promise<boolean>;
}

/** Why a projection or policy stands still. */
export interface Failure {
  readonly error: string;
  readonly stack: string | undefined;
  /** Of the event, if it was one. */
  readonly at: Position | undefined;
}

export interface LeaseStorage {
  /** Says that the instance lives. */
  beat(beat: Beat): Promise<Cluster>;
  /**
   * Takes the checkpoint, if it is free, its owner does not live, or it is the instance's own. Raises the epoch.
   * Undefined if somebody else has it, or the instance itself does not live any more.
   * Throws OtherLog if the database follows another log.
   */
  claim(name: string, instance: string): Promise<Held | undefined>;
  /** Gives it back; nothing happens if somebody else has it by now. */
  release(held: Held, instance: string): Promise<void>;
  /** The instance ends: what it has is free at once. */
  leave(instance: string): Promise<void>;
  /** The checkpoint as it is stored, if it is still of this epoch. */
  seek(held: Held): Promise<Held | undefined>;
  /** Notes why it stands still, as long as nobody else has claimed it. */
  fail(held: Held, failure: Failure): Promise<void>;
}

/** Two generations compared, at one moment. */
export interface Comparison {
  /** Only what had not changed after this position in either was compared: all of it, where both were there. */
  readonly through: Position;
  readonly rows: { readonly before: bigint; readonly after: bigint };
  readonly checksum: { readonly before: string; readonly after: string };
  readonly differences: bigint;
  /** Some of them: key, and the rows as JSON. */
  readonly examples: readonly {
    readonly key: string;
    readonly before: string | undefined;
    readonly after: string | undefined;
  }[];
}

/** What a rebuild needs beside a line. */
export interface RebuildStorage {
  /** Notes what the generation is at, as long as its checkpoint is of this epoch; false otherwise. */
  setStage(held: Held, generation: Generation, stage: Stage, report?: RebuildReport): Promise<boolean>;
  /** For those who look on. */
  noteProgress(generation: Generation, progress: RebuildNumbers): Promise<void>;
  /** Makes what indexes are missing. */
  index(model: ReadModel, generation: Generation): Promise<void>;
  /** Compares with the generation of the same version that serves; undefined if there is none. */
  compare(model: ReadModel, generation: Generation): Promise<Comparison | undefined>;
  /**
   * Stops the generations of this version and of older ones that serve, for a few seconds at most: nobody writes to
   * them or claims them. Answers how far they got; undefined if there is none, or the checkpoint is somebody else's
   * (as the swap that follows will say), and then nobody is stopped. So a busy log cannot keep them from being met.
   */
  freeze(held: Held, generation: Generation): Promise<Position | undefined>;
  /**
   * Has the generation serve in place of the one of its version that does, if there is one, in one transaction; the
   * other is kept. 'behind': that one, or one of an older version (which has been read for want of this one) has got
   * further, so that readers would be set back; 'fenced': the checkpoint is somebody else's.
   */
  swap(held: Held, generation: Generation): Promise<'swapped' | 'behind' | 'fenced'>;
  /** Removes the table; false: fenced. */
  drop(held: Held, generation: Generation): Promise<boolean>;
}

export interface RebuildNumbers {
  /** The end of the log that it is measured by. */
  readonly target: Position;
  /** Read since this was noted last. */
  readonly newEvents: number;
  readonly eventsPerSecond: number;
  readonly remainingSeconds: number | undefined;
}

export interface RebuildReport {
  readonly comparison: Comparison | undefined;
  readonly error: string | undefined;
}

/** Checkpoints and generations as others see them. */
export interface ProgressStorage {
  /** All that are not dropped. */
  generations(): Promise<readonly Generation[]>;
  /** Positions of checkpoints by name; all there are, without names. */
  positions(names: readonly string[] | undefined): Promise<ReadonlyMap<string, Position>>;
}

/** Words between the instances that share the database. Hints: they may be lost. */
export interface Signals {
  tell(message: string): Promise<void>;
  /** Calls back with what any instance tells, this one too, until the signal aborts. Never fails: it goes on trying. */
  listen(heard: (message: string) => void, signal: AbortSignal): void;
}

export interface SchemaStorage {
  /**
   * Makes or changes what the engine needs, and a generation for every read model that has none of its version: it
   * serves at once if there is no other, and else has to be built. Throws OtherVersion if the database or a read
   * model has been made by newer code only, and OtherLog if it follows another log.
   */
  prepare(models: readonly ReadModel[]): Promise<void>;
}

export type ProjectionStorage = SchemaStorage &
  LineStorage &
  LeaseStorage &
  RebuildStorage &
  ProgressStorage & { readonly signals: Signals };
