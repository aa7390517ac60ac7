/** Which aggregate decides a command, and in which stream. */
import { accountAggregate } from '../domain/account/index.ts';
import type { Aggregate, Decision } from '../domain/aggregate.ts';
import type { DomainEvent } from '../domain/events.ts';
import { itemAggregate } from '../domain/item/index.ts';
import { orderAggregate } from '../domain/order/index.ts';
import { programmeAggregate } from '../domain/programme/index.ts';
import { accountStream, itemStream, orderStream, programmeStream } from '../domain/streams.ts';
import type { AggregateCommand } from './commands.ts';

export function streamOf(target: AggregateCommand): string {
  switch (target.aggregate) {
    case 'programme':
      return programmeStream(target.command.merchant);
    case 'order':
      return orderStream(target.command.source, target.command.externalId);
    case 'account':
      return accountStream(target.command.member, target.command.currency);
    case 'item':
      return itemStream(target.command.merchant, target.command.sku);
  }
}

/** Of the state that each kind of aggregate has in a snapshot. */
export const snapshotVersions: Readonly<Record<AggregateCommand['aggregate'], number>> = {
  programme: programmeAggregate.snapshotVersion,
  order: orderAggregate.snapshotVersion,
  account: accountAggregate.snapshotVersion,
  item: itemAggregate.snapshotVersion,
};

/** An aggregate's state, folded event by event, that can decide commands. */
export interface Decider {
  /** Plain data; `evolve` may change it in place. */
  readonly state: unknown;
  evolve(event: DomainEvent): void;
  decide(target: AggregateCommand): Decision;
}

function decider<State, Command>(
  aggregate: Aggregate<State, Command>,
  from: unknown,
  commandOf: (target: AggregateCommand) => Command | undefined,
): Decider {
  let state = from === undefined ? aggregate.initial() : (from as State);
  return {
    get state() {
      return state;
    },
    evolve(event) {
      state = aggregate.evolve(state, event);
    },
    decide(target) {
      const command = commandOf(target);
      if (command === undefined)
        throw new TypeError(`a ${target.aggregate} command for ${aggregate.category}`);
      return aggregate.decide(state, command);
    },
  };
}

/** An aggregate of this kind: a fresh one, or with the state that another one of this version had. */
export function newDecider(kind: AggregateCommand['aggregate'], from?: unknown): Decider {
  switch (kind) {
    case 'programme':
      return decider(programmeAggregate, from, (t) => (t.aggregate === 'programme' ? t.command : undefined));
    case 'order':
      return decider(orderAggregate, from, (t) => (t.aggregate === 'order' ? t.command : undefined));
    case 'account':
      return decider(accountAggregate, from, (t) => (t.aggregate === 'account' ? t.command : undefined));
    case 'item':
      return decider(itemAggregate, from, (t) => (t.aggregate === 'item' ? t.command : undefined));
  }
}
