/** Requests that clients send: what each asks for, and which event of it there must be if it is accepted. */
import type { CommandReceipt } from '../../src/gen/tallyback/common/v1/command.ts';
import type { Connection } from '../../src/main/client/connect.ts';
import { unary, type UnaryMethod, type UnaryOptions } from '../../src/main/client/unary.ts';
import type { Client } from '@grpc/grpc-js';
import type * as accounts from '../../src/gen/tallyback/account/v1/account_command_service.ts';
import type * as items from '../../src/gen/tallyback/item/v1/item_command_service.ts';
import type * as orders from '../../src/gen/tallyback/order/v1/order_command_service.ts';
import type * as programmes from '../../src/gen/tallyback/programme/v1/programme_command_service.ts';
import type { EventType } from './log.ts';

interface Answer {
  readonly receipt: CommandReceipt | undefined;
}

export interface Request {
  readonly requestId: string;
  readonly kind: string;
  /** An accepted request that changes something has exactly one event of these. */
  readonly stores: readonly EventType[];
  /** Another request may have brought about what this one asks for. */
  readonly mayBeDone: boolean;
  /** The same bytes each time. */
  send(connection: Connection, options: UnaryOptions): Promise<Answer>;
}

/** How the messages of one kind are sent: by which service, and which of its methods. */
const requestOf =
  <Message extends { readonly requestId: string }>(
    kind: string,
    stores: readonly EventType[],
    way: (connection: Connection) => readonly [Client, UnaryMethod<Message, Answer>],
    { mayBeDone = false }: { readonly mayBeDone?: boolean } = {},
  ) =>
  (message: Message): Request => ({
    requestId: message.requestId,
    kind,
    stores,
    mayBeDone,
    send(connection, options) {
      const [service, method] = way(connection);
      return unary(service, method, message, options);
    },
  });

export const trackOrder = requestOf<orders.TrackOrderRequest>(
  'track',
  ['OrderTracked', 'OrderAmended'],
  ({ orderCommands: service }) => [service, service.trackOrder],
);
export const returnLines = requestOf<orders.ReturnLinesRequest>(
  'return',
  ['LinesReturned'],
  ({ orderCommands: service }) => [service, service.returnLines],
);
export const confirmOrder = requestOf<orders.ConfirmOrderRequest>(
  'confirm',
  ['OrderConfirmed'],
  ({ orderCommands: service }) => [service, service.confirmOrder],
);
export const declineOrder = requestOf<orders.DeclineOrderRequest>(
  'decline',
  ['OrderDeclined'],
  ({ orderCommands: service }) => [service, service.declineOrder],
);
export const restoreOrder = requestOf<orders.RestoreOrderRequest>(
  'restore',
  ['OrderRestored'],
  ({ orderCommands: service }) => [service, service.restoreOrder],
);
export const reportStockAdjustment = requestOf<orders.ReportStockAdjustmentRequest>(
  'adjust stock',
  ['StockAdjustmentReported'],
  ({ orderCommands: service }) => [service, service.reportStockAdjustment],
);
export const adjustBalance = requestOf<accounts.AdjustBalanceRequest>(
  'adjust balance',
  ['BalanceAdjusted'],
  ({ accountCommands: service }) => [service, service.adjustBalance],
);
export const requestWithdrawal = requestOf<accounts.RequestWithdrawalRequest>(
  'withdraw',
  ['WithdrawalRequested'],
  ({ accountCommands: service }) => [service, service.requestWithdrawal],
);
export const settleWithdrawal = requestOf<accounts.SettleWithdrawalRequest>(
  'settle withdrawal',
  ['WithdrawalSettled'],
  ({ accountCommands: service }) => [service, service.settleWithdrawal],
  { mayBeDone: true },
);
export const failWithdrawal = requestOf<accounts.FailWithdrawalRequest>(
  'fail withdrawal',
  ['WithdrawalFailed'],
  ({ accountCommands: service }) => [service, service.failWithdrawal],
  { mayBeDone: true },
);
export const receiveStock = requestOf<items.ReceiveStockRequest>(
  'receive stock',
  ['StockReceived'],
  ({ itemCommands: service }) => [service, service.receiveStock],
);
export const publishRuleSet = requestOf<programmes.PublishRuleSetRequest>(
  'publish',
  ['RuleSetPublished'],
  ({ programmeCommands: service }) => [service, service.publishRuleSet],
);
