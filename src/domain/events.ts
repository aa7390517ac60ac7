/** Every event type there is: its stable name in the store, and its codec. */
import * as account from '../gen/tallyback/events/v1/account.ts';
import { CommandRefused, CommandUnchanged } from '../gen/tallyback/events/v1/command.ts';
import * as item from '../gen/tallyback/events/v1/item.ts';
import * as order from '../gen/tallyback/events/v1/order.ts';
import * as programme from '../gen/tallyback/events/v1/programme.ts';

/** Names are the storage format: never rename one, add a new one instead. */
export const eventCodecs = {
  RuleSetPublished: programme.RuleSetPublished,
  RuleSetRetired: programme.RuleSetRetired,
  OrderTracked: order.OrderTracked,
  OrderAmended: order.OrderAmended,
  LinesReturned: order.LinesReturned,
  OrderConfirmed: order.OrderConfirmed,
  OrderDeclined: order.OrderDeclined,
  OrderRestored: order.OrderRestored,
  OrderSettled: order.OrderSettled,
  ReturnReported: order.ReturnReported,
  StockAdjustmentReported: order.StockAdjustmentReported,
  RebateAccrued: account.RebateAccrued,
  RebateReversed: account.RebateReversed,
  RebateConfirmed: account.RebateConfirmed,
  RebateReleased: account.RebateReleased,
  ReturnTaken: account.ReturnTaken,
  WithdrawalRequested: account.WithdrawalRequested,
  WithdrawalSettled: account.WithdrawalSettled,
  WithdrawalFailed: account.WithdrawalFailed,
  WithdrawalReturned: account.WithdrawalReturned,
  BalanceAdjusted: account.BalanceAdjusted,
  AccountFrozen: account.AccountFrozen,
  AccountUnfrozen: account.AccountUnfrozen,
  ItemDefined: item.ItemDefined,
  StockReceived: item.StockReceived,
  StockReserved: item.StockReserved,
  ReservationCommitted: item.ReservationCommitted,
  ReservationReleased: item.ReservationReleased,
  StockSold: item.StockSold,
  StockTakenBack: item.StockTakenBack,
  StockAdjusted: item.StockAdjusted,
  CommandRefused,
  CommandUnchanged,
} as const;

export type EventType = keyof typeof eventCodecs;

/** The payload of an event type. */
export type EventData<T extends EventType> = ReturnType<(typeof eventCodecs)[T]['fromJSON']>;

/** An event as the domain sees it: `{ type: 'OrderTracked', data: … }`. */
export type DomainEvent<T extends EventType = EventType> = {
  [K in T]: { readonly type: K; readonly data: EventData<K> };
}[T];
