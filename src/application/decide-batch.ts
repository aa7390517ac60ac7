/** Decides several commands for one stream, each on the state the ones before it leave. Nothing is stored here. */
import { v5 as uuidv5 } from 'uuid';
import type { Decision, Refusal } from '../domain/aggregate.ts';
import { encodeEvent } from '../domain/codec.ts';
import type { DomainEvent } from '../domain/events.ts';
import type { NewEvent } from '../eventstore/port.ts';
import type { CommandOutcome, CommandRequest } from './commands.ts';
import type { LoadedStream } from './loaded-stream.ts';
import { writeMetadata } from './metadata.ts';
import type { StoredOutcome } from './remembered-requests.ts';

/** Each request's outcome, or how many of the batch's events are its own. */
export type Draft =
  | { readonly kind: 'settled'; readonly outcome: CommandOutcome }
  /** `first` counts events of the batch; the outcome follows from the last of them. */
  | { readonly kind: 'appending'; readonly first: number; readonly count: number }
  /** The same request stands in this batch already. */
  | { readonly kind: 'repeats'; readonly of: number }
  /** Deciding threw: a bug. The state is no longer good. */
  | { readonly kind: 'failed'; readonly error: unknown };

export interface DecidedBatch {
  readonly drafts: readonly Draft[];
  readonly events: readonly NewEvent[];
  readonly decoded: readonly DomainEvent[];
}

/** Ids are derived, so that whoever carries out the same request again writes the same events. */
export const eventIdOf = (requestId: string, index: number): string => uuidv5(String(index), requestId);

export function storedOutcome(stored: StoredOutcome, contentHash: string | undefined): CommandOutcome {
  if (stored.contentHash !== contentHash) return { kind: 'request-id-reused' };
  const { revision, position, refusal } = stored;
  return refusal
    ? { kind: 'refused', refusal, position, duplicate: true }
    : { kind: 'accepted', revision, position, duplicate: true, unchanged: false };
}

const tooLarge: Refusal = {
  class: 'invalid',
  reason: 'COMMAND_TOO_LARGE',
  message: 'what follows from this is more than can be stored at once; send it in parts',
};

function eventsOf(decision: Decision, request: CommandRequest): readonly DomainEvent[] {
  const occurredAt = request.command.at;
  // A policy's request is repeated after a crash, on whatever the state is then. If it changed nothing, that must stay
  // so; else it would undo what came after it.
  const isPolicys = request.causationId !== undefined;
  if (decision.kind === 'accepted' && decision.events.length === 0 && isPolicys)
    return [{ type: 'CommandUnchanged', data: { occurredAt } }];
  if (decision.kind === 'accepted') return decision.events;
  const { reason, message, class: refusalClass } = decision.refusal;
  // Kept in the stream itself: with the exact expected revision, no other process can decide otherwise meanwhile.
  return [
    { type: 'CommandRefused', data: { occurredAt, reason, message, refusalClass } },
  ];
}

/** Characters of events after which a batch ends: a store bounds what it takes at once. */
const batchLength = 8 * 1024 * 1024;

/**
 * Evolves `loaded` over what it decides: drop it unless all events are then stored. Has drafts for the first
 * requests only, if the events of all would be too much. `refuse`: whatever is accepted and leads to events is refused
 * instead, for being too large.
 */
export function decideBatch(
  loaded: LoadedStream,
  requests: readonly CommandRequest[],
  refuse = false,
): DecidedBatch {
  const drafts: Draft[] = [];
  const events: NewEvent[] = [];
  const decoded: DomainEvent[] = [];
  const inBatch = new Map<string, number>();

  let length = 0;
  for (const [index, request] of requests.entries()) {
    if (length > batchLength) break;
    const stored = loaded.requests.get(request.requestId);
    const earlier = inBatch.get(request.requestId);
    if (stored) {
      drafts.push({ kind: 'settled', outcome: storedOutcome(stored, request.contentHash) });
      continue;
    }
    if (earlier !== undefined) {
      const sameContent = requests[earlier]?.contentHash === request.contentHash;
      drafts.push(
        sameContent
          ? { kind: 'repeats', of: earlier }
          : { kind: 'settled', outcome: { kind: 'request-id-reused' } },
      );
      continue;
    }
    inBatch.set(request.requestId, index);
    try {
      const decision = loaded.decider.decide(request);
      const refused = refuse && decision.kind === 'accepted' && decision.events.length > 0;
      const own = eventsOf(refused ? { kind: 'refused', refusal: tooLarge } : decision, request);
      const metadata = own.length > 0 ? writeMetadata(request) : '';
      drafts.push({ kind: 'appending', first: events.length, count: own.length });
      for (const [n, event] of own.entries()) {
        loaded.decider.evolve(event);
        const encoded = encodeEvent(event);
        length += encoded.data.length;
        events.push({ id: eventIdOf(request.requestId, n), ...encoded, metadata });
        decoded.push(event);
      }
    } catch (error) {
      drafts.push({ kind: 'failed', error });
      break;
    }
  }
  return { drafts, events, decoded };
}
