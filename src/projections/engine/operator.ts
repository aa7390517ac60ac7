/** What operators see of read models, and what they do to them: the port to the database. */
import type { Position } from '../../eventstore/port.ts';
import type { ReadModel } from './read-model.ts';
import type { Failure, Generation, ParkedEvent, RebuildReport, Wish } from './storage.ts';

/** A generation as operators want to know it. */
export interface GenerationReport extends Generation {
  readonly position: Position;
  /** Instance that leads it now. */
  readonly owner: string | undefined;
  /** Instances that live and can lead it. */
  readonly able: readonly string[];
  readonly failure: Failure | undefined;
  readonly requestedAt: Date;
  readonly finishedAt: Date | undefined;
  readonly target: Position | undefined;
  /** Read since it was begun, over all instances that worked on it. */
  readonly events: bigint;
  readonly eventsPerSecond: number | undefined;
  readonly remainingSeconds: number | undefined;
  readonly report: RebuildReport | undefined;
  /** Events that are parked. */
  readonly parked: bigint;
}

/** Events that are parked in one scope. */
export interface ParkedScope {
  readonly model: string;
  readonly generation: number;
  readonly scope: string;
  readonly events: bigint;
  /** The first one, and why it could not be folded. */
  readonly first: ParkedEvent;
  readonly parkedAt: Date;
}

/** Whether something is still being done about it, without anybody having to decide. */
export const isUnderWay = ({ state, stage, wish }: GenerationReport): boolean =>
  state === 'building' &&
  (wish === 'cancel' || (wish === 'run' && stage !== 'differs' && stage !== 'failed'));

/** An operator asked for what cannot be, or not now. The message says why. */
export class OperatorRefused extends Error {
  override readonly name = 'OperatorRefused';
  readonly reason: 'NOT_FOUND' | 'NOT_NOW' | 'STILL_FAILS';

  constructor(reason: OperatorRefused['reason'], message: string) {
    super(message);
    this.reason = reason;
  }
}

/**
 * What operators do to read models. Every action is recorded with who asked for it, in its own transaction. Throws
 * OperatorRefused.
 */
export interface ProjectionOperator {
  /** All that are not dropped. */
  generations(): Promise<readonly GenerationReport[]>;
  /** Also one that is dropped. */
  generation(model: string, number: number): Promise<GenerationReport | undefined>;
  /** A new generation, to be built by whichever instance is able to; answers its number. */
  rebuild(model: ReadModel, options: { readonly dryRun: boolean }, who: string): Promise<number>;
  /** Pauses, resumes or cancels what is being built. */
  wish(model: ReadModel, number: number, wish: Wish, who: string): Promise<void>;
  /** Has a generation that differs from the one that serves take its place all the same. */
  accept(model: ReadModel, number: number, who: string): Promise<void>;
  /** Has the newest generation of this version that is kept catch up and serve again; answers its number. */
  rollback(model: ReadModel, who: string): Promise<number>;
  parked(model?: ReadModel): Promise<readonly ParkedScope[]>;
  parkedEvents(model: ReadModel, generation: number, scope: string): Promise<readonly ParkedEvent[]>;
  /** Folds what is parked in a scope, all of it, in order; answers how many events. Refused if one still fails. */
  retryParked(model: ReadModel, scope: string, who: string): Promise<number>;
  /** Leaves the parked events out of the row for good, and folds what comes; answers how many events. */
  dropParked(model: ReadModel, scope: string, who: string): Promise<number>;
}
