/** The rows that both queries and watches send, as messages. */
import type { Balance, StatementEntry } from '../gen/tallyback/account/v1/account_query_service.ts';
import {
  type LeaderboardRow,
  type Window,
  WindowLength,
} from '../gen/tallyback/figures/v1/figures_query_service.ts';
import type { Stock } from '../gen/tallyback/item/v1/item_query_service.ts';
import {
  documentKindFromJSON,
  type Order,
  orderStatusFromJSON,
} from '../gen/tallyback/order/v1/order_query_service.ts';
import type { BalanceRow } from '../projections/balance/balance.ts';
import type { FiguresRow } from '../projections/figures/figures.ts';
import type { LeaderboardRow as LeaderRow } from '../projections/leaderboard/leaderboard.ts';
import type { OrderRow } from '../projections/orders/orders.ts';
import type { StatementRow } from '../projections/statement/statement.ts';
import type { StockRow } from '../projections/stock/stock.ts';

export const balanceOf = (row: BalanceRow): Balance => ({
  member: row.member,
  currency: row.currency,
  pendingMinor: row.pending_minor,
  availableMinor: row.available_minor,
  reservedMinor: row.reserved_minor,
  paidMinor: row.paid_minor,
  debtMinor: row.debt_minor,
  accruedMinor: row.accrued_minor,
  reversedMinor: row.reversed_minor,
  adjustedMinor: row.adjusted_minor,
  entryCount: row.entry_count,
  orphanUnits: row.orphan_units,
  frozen: row.frozen,
  changedAt: row.changed_at,
  revision: row.revision,
});

export const entryOf = (row: StatementRow): StatementEntry => ({
  revision: row.revision,
  occurredAt: row.occurred_at,
  kind: row.kind,
  reference: row.reference,
  merchant: row.merchant,
  amountMinor: row.amount_minor,
  pendingAfterMinor: row.pending_after_minor,
  availableAfterMinor: row.available_after_minor,
  reservedAfterMinor: row.reserved_after_minor,
  paidAfterMinor: row.paid_after_minor,
  debtAfterMinor: row.debt_after_minor,
  member: row.member,
  currency: row.currency,
});

/** Without lines and timeline. */
export const orderOf = (row: OrderRow): Order => ({
  source: row.source,
  externalId: row.external_id,
  kind: documentKindFromJSON(row.kind),
  merchant: row.merchant,
  member: row.member,
  currency: row.currency,
  status: orderStatusFromJSON(row.status),
  occurredAt: row.occurred_at,
  sourceVersion: row.source_version,
  amountMinor: row.amount_minor,
  refundedMinor: row.refunded_minor,
  lineCount: row.line_count,
  lines: [],
  timeline: [],
});

export const stockOf = (row: StockRow): Stock => ({
  merchant: row.merchant,
  sku: row.sku,
  onHand: row.on_hand,
  reserved: row.reserved,
  received: row.received,
  sold: row.sold,
  takenBack: row.taken_back,
  adjusted: row.adjusted,
  committed: row.committed,
  allowNegative: row.allow_negative,
  changedAt: row.changed_at,
  revision: row.revision,
});

/** As the projection names it; validation lets only known lengths through. */
export const lengthName = (length: WindowLength): string => (length === WindowLength.DAY ? 'day' : 'hour');

export const windowOf = (row: FiguresRow): Window => ({
  merchant: row.merchant,
  currency: row.currency,
  length: row.length === 'day' ? WindowLength.DAY : WindowLength.HOUR,
  start: row.start,
  orders: row.orders,
  orderLines: row.order_lines,
  returns: row.returns,
  returnLines: row.return_lines,
  stockAdjustments: row.stock_adjustments,
  stockAdjustmentLines: row.stock_adjustment_lines,
  salesMinor: row.sales_minor,
  refundsMinor: row.refunds_minor,
  unitsSold: row.units_sold,
  unitsReturned: row.units_returned,
  earnedMinor: row.earned_minor,
  rebatedLines: row.rebated_lines,
  clawedMinor: row.clawed_minor,
  orphanLines: row.orphan_lines,
  orphanUnits: row.orphan_units,
});

/** Of the row that is so many places from the top. */
export const placeOf = ({ subject, currency, score }: LeaderRow, index: number): LeaderboardRow => ({
  rank: index + 1,
  subject,
  currency,
  score,
});
