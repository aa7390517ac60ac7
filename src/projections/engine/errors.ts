/** What can go wrong in a projection, sorted by what is done about it. */
import { formatPosition, LogDamaged, type Position } from '../../eventstore/port.ts';

/** Another writer has moved on or taken over the checkpoint: nothing was written. */
export class Fenced extends Error {
  override readonly name = 'Fenced';
}

/** The fold threw, or an event could not be read: going on would make every later row wrong. */
export class FoldFailed extends Error {
  override readonly name = 'FoldFailed';
  /** Of the event. */
  readonly position: Position;

  constructor(model: string, eventType: string, position: Position, cause: unknown) {
    super(`${model} cannot take in ${eventType} at ${formatPosition(position)}: ${errorText(cause)}`, {
      cause,
    });
    this.position = position;
  }
}

/** The tables were made by newer code, or belong to another version of the read model. */
export class OtherVersion extends Error {
  override readonly name = 'OtherVersion';
}

/** The read models in the database follow another event log: their checkpoints mean nothing in this one. */
export class OtherLog extends Error {
  override readonly name = 'OtherLog';
}

/** The database refuses what it was given, and will refuse it again. */
export class Rejected extends Error {
  override readonly name = 'Rejected';
}

/** A projection stands still for good, and has said so: see its checkpoint. */
export class Failed extends Error {
  override readonly name = 'Failed';
}

/** Whether trying again cannot help. Lost connections, deadlocks, full disks and the like may pass while we wait. */
export const isPermanent = (error: unknown): boolean =>
  [FoldFailed, OtherVersion, OtherLog, Rejected, LogDamaged].some((kind) => error instanceof kind);

export const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Where it was thrown first, as far as is known. */
export function stackOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  return error.cause instanceof Error ? error.cause.stack : error.stack;
}
