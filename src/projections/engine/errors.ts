/** What can go wrong in a projection, sorted by what is done about it. */
import pg from 'pg';
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

/** The tables belong to another version of the read model. */
export class OtherVersion extends Error {
  override readonly name = 'OtherVersion';
}

/** The read models in the database follow another event log: their checkpoints mean nothing in this one. */
export class OtherLog extends Error {
  override readonly name = 'OtherLog';
}

/**
 * Whether trying again cannot help. Of what Postgres says: data exceptions (22), violated constraints (23),
 * unsupported features (0A) and errors in the statement (42). Everything else — lost connections, deadlocks,
 * full disks, restarts, wrong passwords — may pass or be put right while we wait.
 */
export function isPermanent(error: unknown): boolean {
  if (error instanceof FoldFailed || error instanceof OtherVersion || error instanceof OtherLog) return true;
  if (error instanceof LogDamaged) return true;
  return error instanceof pg.DatabaseError && /^(22|23|0A|42)/.test(error.code ?? '');
}

export const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));
