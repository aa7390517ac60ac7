/** What goes into the command side of Tallyback, and what comes out of it. */
import type { AccountCommand } from '../domain/account/commands.ts';
import type { Refusal } from '../domain/aggregate.ts';
import type { ItemCommand } from '../domain/item/commands.ts';
import type { OrderCommand } from '../domain/order/commands.ts';
import type { ProgrammeCommand } from '../domain/programme/commands.ts';
import type { Position } from '../eventstore/port.ts';

/** A command, and the aggregate that decides it. Its stream follows from the command. */
export type AggregateCommand =
  | { readonly aggregate: 'programme'; readonly command: ProgrammeCommand }
  | { readonly aggregate: 'order'; readonly command: OrderCommand }
  | { readonly aggregate: 'account'; readonly command: AccountCommand }
  | { readonly aggregate: 'item'; readonly command: ItemCommand };

export type CommandRequest = AggregateCommand & {
  /** UUID, lower case. A repeat gets the stored outcome. */
  readonly requestId: string;
  /**
   * Hash of what was asked, without the request id. A repeat with another hash is an error. Undefined: the
   * request id itself stands for the content (policies derive theirs from an event).
   */
  readonly contentHash: string | undefined;
  /** Id of the event that led to this command, and of the request at the root of it all. */
  readonly causationId?: string | undefined;
  readonly correlationId?: string | undefined;
};

export type CommandOutcome =
  | {
      readonly kind: 'accepted';
      /** Of the aggregate's stream right after the command; −1: no events. */
      readonly revision: number;
      /** Of the command's last event; where it appended nothing, one that covers the state it was decided on. */
      readonly position: Position;
      /** The request had been carried out before: this is the stored outcome. */
      readonly duplicate: boolean;
      /** Nothing was to be done. */
      readonly unchanged: boolean;
    }
  | {
      readonly kind: 'refused';
      readonly refusal: Refusal;
      readonly position: Position;
      readonly duplicate: boolean;
    }
  /** The request id was used for another content. */
  | { readonly kind: 'request-id-reused' };

/** The caller may try the same request again later: nothing says whether it was carried out. */
export class CommandUnavailable extends Error {
  override readonly name = 'CommandUnavailable';
}

export interface CommandBus {
  /**
   * Carries out a command: loads the aggregate (from the cache if it can), decides, appends, and tries again
   * with fresh state on a conflict. Commands for one stream are carried out in the order of the calls.
   * Rejects with CommandUnavailable when the store cannot be reached in time.
   */
  execute(request: CommandRequest): Promise<CommandOutcome>;
}
