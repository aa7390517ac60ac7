/**
 * The event store as the rest of Tallyback sees it: streams of opaque events in one totally ordered log.
 * Adapters live in folders beside this file; one contract suite (test/eventstore/contract.ts) runs against all.
 */

/**
 * Where an event stands in the log. Totally ordered, safe to store, meaningful only to the store that gave it.
 * Two numbers because EventStoreDB needs both to resume (Postgres sets them equal).
 */
export interface Position {
  readonly commit: bigint;
  readonly prepare: bigint;
}

/** Before every event. */
export const logStart: Position = { commit: -1n, prepare: -1n };

export function comparePositions(a: Position, b: Position): number {
  if (a === b) return 0;
  if (a.commit !== b.commit) return a.commit < b.commit ? -1 : 1;
  if (a.prepare !== b.prepare) return a.prepare < b.prepare ? -1 : 1;
  return 0;
}

/** "commit/prepare" in decimal. */
export const formatPosition = (p: Position): string => `${p.commit}/${p.prepare}`;

/** Reads what formatPosition wrote; undefined for anything else. */
export function parsePosition(text: string): Position | undefined {
  const match = /^(-?\d{1,19})\/(-?\d{1,19})$/.exec(text);
  if (!match) return undefined;
  return { commit: BigInt(match[1] ?? ''), prepare: BigInt(match[2] ?? '') };
}

/** Revision of a stream that holds no event. The first event has revision 0. */
export const noStream = -1;

/** An event to append. `data` and `metadata` are JSON texts. */
export interface NewEvent {
  /** UUID, unique in the log: the same id means the same event. */
  readonly id: string;
  readonly type: string;
  readonly data: string;
  readonly metadata: string;
}

export interface RecordedEvent extends NewEvent {
  readonly stream: string;
  readonly revision: number;
  readonly position: Position;
  readonly recordedAt: Date;
}

export type AppendResult =
  /** Stored, durably; also when these very events had been stored at this place before. Of the last of them: */
  | { readonly kind: 'appended'; readonly revision: number; readonly position: Position }
  /** The stream does not end at the expected revision; nothing was stored. */
  | { readonly kind: 'conflict'; readonly actualRevision: number }
  /** One of the ids belongs to another event; nothing was stored. Only stores that keep ids unique say so. */
  | { readonly kind: 'id-in-use'; readonly id: string; readonly stream: string; readonly revision: number };

export interface SubscribeOptions {
  /** The subscription starts with the first event after it. */
  readonly after: Position;
  readonly signal: AbortSignal;
  /** Most events in one batch; default 1,000. */
  readonly maxBatch?: number;
}

/** What a subscription yields: events in log order, and when there are no more for now, that it is caught up. */
export interface LogBatch {
  readonly events: readonly RecordedEvent[];
  /** Everything up to here has been delivered with this batch. */
  readonly through: Position;
  /** Nothing was stored after `through` when the store was last asked. */
  readonly caughtUp: boolean;
}

/** The store cannot be reached or did not answer: whether an append happened is unknown. Retry with the same ids. */
export class EventStoreUnavailable extends Error {
  override readonly name = 'EventStoreUnavailable';
}

/** The log itself is not as it must be; nothing that reads it may go on. */
export class LogDamaged extends Error {
  override readonly name = 'LogDamaged';
}

/** The events of an append are together more than the store takes at once; nothing was stored. */
export class AppendTooLarge extends Error {
  override readonly name = 'AppendTooLarge';
}

/** That a log was copied from another one (`copy-log`). */
export interface LogOrigin {
  /** Id of the store it was copied from. */
  readonly storeId: string;
  /** False while the copy is being made: nothing else may use the log before it is true. */
  readonly complete: boolean;
}

export interface EventStore {
  /** Tells this store from every other; stable over restarts. */
  readonly id: string;
  /** Where its log came from; undefined for a log that began here. As it was when the store was opened. */
  readonly origin: LogOrigin | undefined;
  /**
   * Appends all events or none, if the stream ends at `expectedRevision` (exact; `noStream` for none).
   * Resolves once they are durable. Rejects with EventStoreUnavailable when the outcome is unknown, with
   * AppendTooLarge, and with RangeError for what no store takes: no events, an id that is no UUID or comes twice,
   * an impossible revision, an empty or too long name, an empty text.
   */
  append(stream: string, expectedRevision: number, events: readonly NewEvent[]): Promise<AppendResult>;
  /** The stream's events from a revision on (default 0), in order. An unknown stream is empty. */
  readStream(
    stream: string,
    options?: { readonly from?: number; readonly signal?: AbortSignal },
  ): AsyncIterable<RecordedEvent>;
  /**
   * All events after a position, for ever, in log order, in batches that are never empty except to say
   * `caughtUp`. Heals itself over connection failures and ends only when the signal aborts; throws
   * EventStoreUnavailable if the store is closed under it, and LogDamaged.
   */
  subscribe(options: SubscribeOptions): AsyncIterable<LogBatch>;
  /**
   * Position of the last event; `logStart` for an empty log. In a store that others use too it may be the
   * position of an event that is not ours, and that no subscription delivers. Rejects with EventStoreUnavailable.
   */
  head(): Promise<Position>;
  /** Settles the appends under way, then ends everything else. May be called again. */
  close(): Promise<void>;
}

/** The store cannot be filled with that log: it holds something else, or all of it already. */
export class CopyRefused extends Error {
  override readonly name = 'CopyRefused';
}

/** A store opened to be filled with the log of another one. */
export interface CopyTarget extends EventStore {
  /** Says, durably, that the copy is complete: the log may be used from now on. */
  completeCopy(): Promise<void>;
}
