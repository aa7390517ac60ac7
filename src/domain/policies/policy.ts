/** What an event of one aggregate asks of another. */
import type { AccountCommand } from '../account/commands.ts';
import type { DomainEvent, EventType } from '../events.ts';
import type { ItemCommand } from '../item/commands.ts';
import type { ProgrammeState } from '../programme/state.ts';

/** A command for one stream. The runner derives its request id from the event and its place in the list. */
export type PolicyCommand =
  | { readonly aggregate: 'account'; readonly stream: string; readonly command: AccountCommand }
  | { readonly aggregate: 'item'; readonly stream: string; readonly command: ItemCommand };

/** What a policy may look up: folded as of the event, so that the answer is the same whenever it is asked. */
export interface PolicyContext {
  readonly programme: ProgrammeState;
}

export interface Policy<T extends EventType = EventType> {
  /** Stable: its checkpoint and its request ids hang on it. */
  readonly name: string;
  readonly handles: readonly T[];
  /** The merchant whose programme `react` needs for this event, if any. */
  programmeOf(event: DomainEvent<T>): string | undefined;
  react(event: DomainEvent<T>, context: PolicyContext): readonly PolicyCommand[];
}
