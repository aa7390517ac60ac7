/** Rows and keys of the watches there are. */
import type {
  Balance,
  BalanceChanges,
  StatementChanges,
  StatementEntry,
} from '../gen/tallyback/account/v1/account_query_service.ts';
import type {
  LeaderboardChanges,
  LeaderboardRemoval,
  LeaderboardRow,
  Window,
  WindowChanges,
} from '../gen/tallyback/figures/v1/figures_query_service.ts';
import type { Stock, StockChanges } from '../gen/tallyback/item/v1/item_query_service.ts';
import type { Order, OrderChanges, OrderRemoval } from '../gen/tallyback/order/v1/order_query_service.ts';
import type { RowForm } from './kind.ts';

/** Of rows that are never removed. */
const rowsOnly = <Changes, Row>(
  rowsOf: (changes: Changes) => readonly Row[],
  keyOf: (row: Row) => string,
): RowForm<Changes, Row, never> => ({ rowsOf, keyOf, removalsOf: () => [], immutable: false });

/** By member and currency: "ann/GBP". */
export const balances = rowsOnly(
  (changes: BalanceChanges): readonly Balance[] => changes.balances,
  ({ member, currency }) => `${member}/${currency}`,
);

/** By member, currency and revision: "ann/GBP/12". */
export const statement: RowForm<StatementChanges, StatementEntry, never> = {
  ...rowsOnly(
    (changes: StatementChanges): readonly StatementEntry[] => changes.entries,
    ({ member, currency, revision }) => `${member}/${currency}/${revision}`,
  ),
  immutable: true,
};

/** By source and external id: "awin/4711". */
export const orders: RowForm<OrderChanges, Order, OrderRemoval> = {
  rowsOf: (changes) => changes.orders,
  removalsOf: (changes) => changes.removals,
  keyOf: ({ source, externalId }) => `${source}/${externalId}`,
  immutable: false,
};

/** By merchant and SKU: "shop/mug". */
export const stock = rowsOnly(
  (changes: StockChanges): readonly Stock[] => changes.stock,
  ({ merchant, sku }) => `${merchant}/${sku}`,
);

/** By merchant, currency and start: "shop/GBP/2026-03-01T00:00:00.000Z". */
export const windows = rowsOnly(
  (changes: WindowChanges): readonly Window[] => changes.windows,
  ({ merchant, currency, start }) => `${merchant}/${currency}/${start?.toISOString() ?? ''}`,
);

/** By subject and currency: "ann/GBP". */
export const leaderboard: RowForm<LeaderboardChanges, LeaderboardRow, LeaderboardRemoval> = {
  rowsOf: (changes) => changes.rows,
  removalsOf: (changes) => changes.removals,
  keyOf: ({ subject, currency }) => `${subject}/${currency}`,
  immutable: false,
};
