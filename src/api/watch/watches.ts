/** The watches there are. */
import {
  AccountQueryServiceService as accountMethods,
  Balance,
  StatementEntry,
  WatchBalancesRequest,
  WatchStatementRequest,
} from '../../gen/tallyback/account/v1/account_query_service.ts';
import {
  FiguresQueryServiceService as figuresMethods,
  WatchWindowsRequest,
  Window,
} from '../../gen/tallyback/figures/v1/figures_query_service.ts';
import {
  ItemQueryServiceService as itemMethods,
  Stock,
  WatchStockRequest,
} from '../../gen/tallyback/item/v1/item_query_service.ts';
import {
  Order,
  OrderQueryServiceService as orderMethods,
  OrderRemoval,
  orderStatusToJSON,
  WatchOrdersRequest,
} from '../../gen/tallyback/order/v1/order_query_service.ts';
import { RemovalReason } from '../../gen/tallyback/common/v1/watch.ts';
import { balance, figures, orders, statement, stock } from '../../projections/index.ts';
import type { ApiContext } from '../context.ts';
import type { Freshness } from '../queries/consistency.ts';
import { balanceOf, entryOf, lengthName, orderOf, stockOf, windowOf } from '../row-messages.ts';
import { eventWatch } from './event-feed.ts';
import { leaderboardWatch } from './leaderboard/leaderboard-watch.ts';
import { Places } from './places.ts';
import { TableWatches } from './table-watches.ts';
import type { WatchMethod } from './watch-method.ts';

/** By the name that a browser asks for them by. */
export interface Watches {
  readonly balances: WatchMethod;
  readonly statement: WatchMethod;
  readonly orders: WatchMethod;
  readonly windows: WatchMethod;
  readonly leaderboard: WatchMethod;
  readonly stock: WatchMethod;
  readonly events: WatchMethod;
}

export function openWatches(context: ApiContext, freshness: Freshness): Watches {
  const places = new Places(context.limits);
  const tables = new TableWatches(context, freshness, places);

  return {
    balances: tables.bind({
      method: accountMethods.watchBalances,
      model: balance,
      filterOf: ({ members }) => ({ filter: members.length === 0 ? {} : { member: { in: members } } }),
      scopeOf: WatchBalancesRequest,
      encode: (row) => Balance.encode(balanceOf(row)).finish(),
    }),
    statement: tables.bind({
      method: accountMethods.watchStatement,
      model: statement,
      filterOf: ({ members }) => ({ filter: members.length === 0 ? {} : { member: { in: members } } }),
      scopeOf: WatchStatementRequest,
      encode: (row) => StatementEntry.encode(entryOf(row)).finish(),
    }),
    orders: tables.bind({
      method: orderMethods.watchOrders,
      model: orders,
      filterOf({ source, merchant, member, statuses }) {
        const names = new Set(statuses.map((status) => orderStatusToJSON(status)));
        return {
          // A document gets its merchant and member once, and keeps them.
          filter: {
            ...(member === '' ? {} : { member }),
            ...(source === '' ? {} : { source }),
            ...(merchant === '' ? {} : { merchant }),
          },
          ...(names.size === 0
            ? {}
            : { now: { filter: { status: { in: [...names] } }, sees: ({ status }) => names.has(status) } }),
        };
      },
      scopeOf: WatchOrdersRequest,
      encode: (row) => Order.encode(orderOf(row)).finish(),
      encodeRemoval: (row) =>
        OrderRemoval.encode({
          source: row.source,
          externalId: row.external_id,
          reason: RemovalReason.LEFT_FILTER,
        }).finish(),
    }),
    windows: tables.bind({
      method: figuresMethods.watchWindows,
      model: figures,
      filterOf: ({ merchant, length, from }) => ({
        filter: {
          ...(merchant === '' ? {} : { merchant }),
          length: lengthName(length),
          ...(from ? { start: { from } } : {}),
        },
      }),
      scopeOf: WatchWindowsRequest,
      encode: (row) => Window.encode(windowOf(row)).finish(),
    }),
    leaderboard: leaderboardWatch(context, freshness, places),
    stock: tables.bind({
      method: itemMethods.watchStock,
      model: stock,
      filterOf: ({ merchant, skus }) => ({
        filter: {
          ...(skus.length === 0 ? {} : { sku: { in: skus } }),
          ...(merchant === '' ? {} : { merchant }),
        },
      }),
      scopeOf: WatchStockRequest,
      encode: (row) => Stock.encode(stockOf(row)).finish(),
    }),
    events: eventWatch(context, places),
  };
}
