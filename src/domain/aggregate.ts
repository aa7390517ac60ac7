/** What every aggregate is made of. */
import type { DomainEvent, EventType } from './events.ts';

/** Why a command was refused: an expected outcome, answered and remembered, never thrown. */
export interface Refusal {
  /** UPPER_SNAKE, stable: part of the contract. */
  readonly reason: string;
  /** For people. */
  readonly message: string;
  /** Which class of gRPC status it becomes. */
  readonly class: 'not-found' | 'already-exists' | 'precondition' | 'invalid';
}

export type Decision<T extends EventType = EventType> =
  /** No events: what was asked for is so already. */
  | { readonly kind: 'accepted'; readonly events: readonly DomainEvent<T>[] }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

/**
 * An aggregate: a pure fold and pure decisions. `evolve` may reuse (and change) the state it is given — the
 * caller owns it and drops it when an append fails; `decide` never changes it.
 */
export interface Aggregate<State, Command, T extends EventType = EventType> {
  /** The part of its stream names before the first "-". */
  readonly category: string;
  /**
   * Raised with every change of the state's shape, or of what the fold makes of events: a snapshot of another
   * version is not used. test/application/snapshot-versions.test.ts says when.
   */
  readonly snapshotVersion: number;
  initial(): State;
  evolve(state: State, event: DomainEvent<T>): State;
  decide(state: State, command: Command): Decision<T>;
}

export const accept = <T extends EventType>(...events: readonly DomainEvent<T>[]): Decision<T> => ({
  kind: 'accepted',
  events,
});

export const refuse = (refusalClass: Refusal['class'], reason: string, message: string): Decision<never> => ({
  kind: 'refused',
  refusal: { class: refusalClass, reason, message },
});

/** A required part of a stored event that is missing, or a state that cannot be: a bug, not a refusal. */
export class BrokenInvariant extends Error {
  override readonly name = 'BrokenInvariant';
}

/** The value, or BrokenInvariant: for message fields that proto3 makes optional but we always write. */
export function present<V>(value: V | undefined, what: string): V {
  if (value === undefined) throw new BrokenInvariant(`${what} is missing`);
  return value;
}
