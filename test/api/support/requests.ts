/** Requests that are valid as they are, to be spoilt one field at a time. */
import { randomUUID } from 'node:crypto';
import type { RequestWithdrawalRequest } from '../../../src/gen/tallyback/account/v1/account_command_service.ts';
import type { ReceiveStockRequest } from '../../../src/gen/tallyback/item/v1/item_command_service.ts';
import type {
  OrderLine,
  TrackOrderRequest,
} from '../../../src/gen/tallyback/order/v1/order_command_service.ts';
import type { BalanceRow } from '../../../src/projections/balance/balance.ts';

export const noon = new Date('2026-03-01T12:00:00Z');

export const line = (lineNo = 1, changes: Partial<OrderLine> = {}): OrderLine => ({
  lineNo,
  sku: `sku-${lineNo}`,
  category: 'product',
  quantity: 2n,
  unitPrice: '2.55',
  orderedAt: undefined,
  service: false,
  ...changes,
});

export const trackOrder = (changes: Partial<TrackOrderRequest> = {}): TrackOrderRequest => ({
  requestId: randomUUID(),
  source: 'shop',
  externalId: 'order-1',
  occurredAt: noon,
  merchant: 'shop',
  member: 'ann',
  currency: 'EUR',
  sourceVersion: 1n,
  lines: [line()],
  ...changes,
});

export const requestWithdrawal = (
  changes: Partial<RequestWithdrawalRequest> = {},
): RequestWithdrawalRequest => ({
  requestId: randomUUID(),
  member: 'ann',
  currency: 'EUR',
  occurredAt: noon,
  withdrawalId: 'w1',
  amountMinor: 0n,
  minimumMinor: 0n,
  ...changes,
});

export const receiveStock = (changes: Partial<ReceiveStockRequest> = {}): ReceiveStockRequest => ({
  requestId: randomUUID(),
  merchant: 'shop',
  sku: 'mug',
  occurredAt: noon,
  quantity: 1n,
  reference: '',
  ...changes,
});

export const balanceRow = (member: string, changes: Partial<BalanceRow> = {}): BalanceRow => ({
  member,
  currency: 'EUR',
  pending_minor: 0n,
  available_minor: 100n,
  reserved_minor: 0n,
  paid_minor: 0n,
  debt_minor: 0n,
  accrued_minor: 100n,
  reversed_minor: 0n,
  adjusted_minor: 0n,
  entry_count: 1n,
  orphan_units: 0n,
  frozen: false,
  changed_at: noon,
  revision: 0n,
  ...changes,
});
