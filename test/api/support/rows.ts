/** Rows of read models. */
import type { FiguresRow } from '../../../src/projections/figures/figures.ts';
import type { LeaderboardRow } from '../../../src/projections/leaderboard/leaderboard.ts';
import type { OrderRow } from '../../../src/projections/orders/orders.ts';
import type { StockRow } from '../../../src/projections/stock/stock.ts';
import { noon } from './requests.ts';

export const stockRow = (sku: string, onHand: bigint): StockRow => ({
  merchant: 'shop',
  sku,
  on_hand: onHand,
  reserved: 0n,
  received: onHand,
  sold: 0n,
  taken_back: 0n,
  adjusted: 0n,
  committed: 0n,
  allow_negative: true,
  changed_at: noon,
  revision: 1n,
});

export const orderRow = (externalId: string): OrderRow => ({
  source: 'shop',
  external_id: externalId,
  kind: 'DOCUMENT_KIND_ORDER',
  merchant: 'shop',
  member: 'ann',
  currency: 'EUR',
  status: 'ORDER_STATUS_CONFIRMED',
  occurred_at: noon,
  source_version: 1n,
  status_version: 1n,
  amount_minor: 510n,
  refunded_minor: 0n,
  line_count: 1n,
  lines:
    '[{"lineNo":1,"sku":"mug","quantity":"2","unitPrice":"2.55","amountMinor":"510","orderedAt":"2026-03-01T12:00:00.000Z"}]',
  timeline: '[{"occurredAt":"2026-03-01T12:00:00.000Z","event":"OrderTracked","detail":"version 1"}]',
});

export const figuresRow = (start: Date): FiguresRow => ({
  merchant: 'shop',
  currency: 'EUR',
  length: 'day',
  start,
  orders: 1n,
  order_lines: 1n,
  returns: 0n,
  return_lines: 0n,
  stock_adjustments: 0n,
  stock_adjustment_lines: 0n,
  sales_minor: 12n,
  refunds_minor: 0n,
  units_sold: 1n,
  units_returned: 0n,
  earned_minor: 1n,
  rebated_lines: 1n,
  clawed_minor: 0n,
  orphan_lines: 0n,
  orphan_units: 0n,
});

export const leaderRow = (
  subject: string,
  score: bigint,
  changes: Partial<LeaderboardRow> = {},
): LeaderboardRow => ({
  board: 'BOARD_MEMBERS_BY_REBATE',
  merchant: 'shop',
  month: '',
  subject,
  currency: 'EUR',
  score,
  ...changes,
});
