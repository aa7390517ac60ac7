/** What a failed call means. */
import { EventStoreUnavailable } from '../port.ts';

/** A stream has been tombstoned: nobody can append to it again, ever. */
export class StreamTombstoned extends Error {
  override readonly name = 'StreamTombstoned';
}

/** Nothing is known about what was asked; it may be asked again. */
export function unavailable(error: unknown): EventStoreUnavailable {
  if (error instanceof EventStoreUnavailable) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new EventStoreUnavailable(`EventStoreDB: ${message}`, { cause: error });
}

/** For what can do without an answer. */
export function unlessUnavailable(error: unknown): undefined {
  if (!(error instanceof EventStoreUnavailable)) throw error;
}

/** The server's own name for an error, from the trailers: "not-leader", "stream-deleted"… */
export function exceptionOf(error: Error): string | undefined {
  if (!('metadata' in error)) return undefined;
  const { metadata } = error;
  if (typeof metadata !== 'object' || metadata === null || !('get' in metadata)) return undefined;
  if (typeof metadata.get !== 'function') return undefined;
  const values: unknown = metadata.get('exception');
  return Array.isArray(values) && values.length > 0 ? String(values[0]) : undefined;
}

export const isNotLeader = (error: unknown): boolean =>
  error instanceof Error && exceptionOf(error) === 'not-leader';

/** A live subscriber was too slow for the server, which ended the subscription; nothing is wrong. */
export const isSlowConsumer = (error: unknown): boolean =>
  error instanceof Error && /consumer too slow/i.test(error.message);
