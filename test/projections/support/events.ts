/** Events for tests: `event('RebateAccrued', { member: 'ann' })`, all else being empty. */
import { randomUUID } from 'node:crypto';
import { encodeEvent } from '../../../src/domain/codec.ts';
import { type DomainEvent, type EventData, type EventType, eventCodecs } from '../../../src/domain/events.ts';
import {
  AccountBalance,
  RebateLine,
  RebateLineChange,
  TakenReturnLine,
} from '../../../src/gen/tallyback/events/v1/account.ts';
import { StockLevel } from '../../../src/gen/tallyback/events/v1/item.ts';
import { OrderHeader, OrderLine } from '../../../src/gen/tallyback/events/v1/order.ts';
import type { NewEvent } from '../../../src/eventstore/port.ts';
import type { LoggedEvent } from '../../../src/projections/engine/read-model.ts';

export function event<T extends EventType>(type: T, data: Partial<EventData<T>> = {}): DomainEvent<T> {
  const empty = { ...eventCodecs[type].fromJSON({}), occurredAt: day(0) };
  // The compiler does not follow that the codec of a type makes the data of that type.
  return { type, data: { ...empty, ...data } } as DomainEvent<T>;
}

/** Midnight UTC, counted from the start of 2026; also parts of days. */
export const day = (n: number): Date => new Date(Date.UTC(2026, 0, 1) + n * 86_400_000);

const account = { member: 'ann', currency: 'GBP', occurredAt: day(0) };

/** An account event about ann's pounds. */
export const accountEvent = <
  T extends Extract<
    EventType,
    `Rebate${string}` | `Withdrawal${string}` | `Account${string}` | 'BalanceAdjusted' | 'ReturnTaken'
  >,
>(
  type: T,
  data: Partial<EventData<T>> = {},
): DomainEvent<T> => {
  const whose: object = { ...account, balance: held(), ...data };
  return event(type, whose);
};

export const held = (over: Partial<AccountBalance> = {}): AccountBalance => AccountBalance.fromPartial(over);
export const header = (over: Partial<OrderHeader> = {}): OrderHeader =>
  OrderHeader.fromPartial({
    source: 'web',
    externalId: 'A1',
    merchant: 'shop',
    member: 'ann',
    currency: 'GBP',
    ...over,
  });
export const orderLine = (over: Partial<OrderLine> = {}): OrderLine =>
  OrderLine.fromPartial({
    lineNo: 1,
    sku: 'mug',
    category: 'product',
    quantity: 10n,
    unitPrice: '2.55',
    amountMinor: 2550n,
    orderedAt: day(0),
    ...over,
  });
export const rebateLine = (over: Partial<RebateLine> = {}): RebateLine =>
  RebateLine.fromPartial({ lineNo: 1, sku: 'mug', rebateMinor: 100n, orderedAt: day(0), ...over });
export const rebateChange = (over: Partial<RebateLineChange> = {}): RebateLineChange =>
  RebateLineChange.fromPartial(over);
export const takenLine = (over: Partial<TakenReturnLine> = {}): TakenReturnLine =>
  TakenReturnLine.fromPartial(over);
export const level = (over: Partial<StockLevel> = {}): StockLevel =>
  StockLevel.fromPartial({ merchant: 'shop', sku: 'mug', ...over });

/** The event as it is appended. */
export const newEvent = (domainEvent: DomainEvent): NewEvent => ({
  id: randomUUID(),
  ...encodeEvent(domainEvent),
  metadata: '{}',
});

/** Events as read models get them, one after the other from position 1 on, all of one stream. */
export const logged = <T extends EventType>(events: readonly DomainEvent<T>[]): LoggedEvent<T>[] =>
  events.map((domainEvent, i) => ({
    event: domainEvent,
    stream: 'test-1',
    revision: i,
    position: { commit: BigInt(i + 1), prepare: BigInt(i + 1) },
  }));
