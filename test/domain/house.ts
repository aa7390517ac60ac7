/**
 * The whole domain in memory: every stream a fold, every event handed to the policies, every command they ask
 * for decided at once. What the application does with a store, without a store.
 */
import { accountAggregate, type AccountCommand, type AccountState } from '../../src/domain/account/index.ts';
import { BrokenInvariant, type Aggregate, type Decision } from '../../src/domain/aggregate.ts';
import type { DomainEvent, EventType } from '../../src/domain/events.ts';
import { itemAggregate, type ItemCommand, type ItemState } from '../../src/domain/item/index.ts';
import { orderAggregate, type OrderCommand, type OrderState } from '../../src/domain/order/index.ts';
import { orderRebate } from '../../src/domain/policies/order-rebate.ts';
import { orderStock } from '../../src/domain/policies/order-stock.ts';
import type { PolicyCommand } from '../../src/domain/policies/policy.ts';
import {
  programmeAggregate,
  type ProgrammeCommand,
  type ProgrammeState,
} from '../../src/domain/programme/index.ts';
import { accountStream, itemStream, orderStream, programmeStream } from '../../src/domain/streams.ts';

export class House {
  readonly programmes = new Map<string, ProgrammeState>();
  readonly orders = new Map<string, OrderState>();
  readonly accounts = new Map<string, AccountState>();
  readonly items = new Map<string, ItemState>();

  /** Called with every event, after it was folded; `cause`: the event that a policy reacted to. */
  onEvent: (stream: string, event: DomainEvent, cause: DomainEvent | undefined) => void = () => undefined;
  #cause: DomainEvent | undefined;

  programme(command: ProgrammeCommand): Decision {
    return this.#run(programmeAggregate, this.programmes, programmeStream(command.merchant), command);
  }

  /** Decides a report and lets the policies react to what came of it. */
  order(command: OrderCommand): Decision {
    const stream = orderStream(command.source, command.externalId);
    const decision = this.#run(orderAggregate, this.orders, stream, command);
    if (decision.kind === 'accepted') for (const event of decision.events) this.#react(event);
    return decision;
  }

  account(command: AccountCommand): Decision {
    const stream = accountStream(command.member, command.currency);
    return this.#run(accountAggregate, this.accounts, stream, command);
  }

  item(command: ItemCommand): Decision {
    return this.#run(itemAggregate, this.items, itemStream(command.merchant, command.sku), command);
  }

  #run<State, Command>(
    aggregate: Aggregate<State, Command>,
    states: Map<string, State>,
    stream: string,
    command: Command,
  ): Decision {
    let state = states.get(stream) ?? aggregate.initial();
    const decision = aggregate.decide(state, command);
    if (decision.kind === 'refused') return decision;
    for (const event of decision.events) {
      state = aggregate.evolve(state, event);
      this.onEvent(stream, event, this.#cause);
    }
    states.set(stream, state);
    return decision;
  }

  #react(event: DomainEvent): void {
    this.#cause = event;
    this.#carryOutPolicies(event);
    this.#cause = undefined;
  }

  #carryOutPolicies(event: DomainEvent): void {
    if (isOneOf(orderRebate.handles, event)) {
      const programme = this.#programmeOf(orderRebate.programmeOf(event));
      for (const asked of orderRebate.react(event, { programme })) this.#carryOut(orderRebate.name, asked);
    }
    if (isOneOf(orderStock.handles, event)) {
      const programme = this.#programmeOf(orderStock.programmeOf(event));
      for (const asked of orderStock.react(event, { programme })) this.#carryOut(orderStock.name, asked);
    }
  }

  #programmeOf(merchant: string | undefined): ProgrammeState {
    const known = merchant === undefined ? undefined : this.programmes.get(programmeStream(merchant));
    return known ?? programmeAggregate.initial();
  }

  #carryOut(policy: string, asked: PolicyCommand): void {
    const decision = asked.aggregate === 'account' ? this.account(asked.command) : this.item(asked.command);
    if (decision.kind === 'refused') {
      throw new BrokenInvariant(`${policy} was refused: ${decision.refusal.reason}`);
    }
  }
}

const isOneOf = <T extends EventType>(
  types: readonly T[],
  event: DomainEvent,
): event is Extract<DomainEvent, { type: T }> => types.some((type) => type === event.type);
