/** Which errors of Postgres are for good. */
import pg from 'pg';
import { Rejected } from '../engine/errors.ts';

/**
 * What the database will refuse again: data exceptions (22), violated constraints (23), unsupported features (0A)
 * and errors in the statement (42). Everything else — lost connections, deadlocks, full disks, restarts, wrong
 * passwords — may pass or be put right while we wait.
 */
export function rejected(error: unknown): never {
  if (error instanceof pg.DatabaseError && /^(22|23|0A|42)/.test(error.code ?? ''))
    throw new Rejected(error.message, { cause: error });
  throw error;
}
