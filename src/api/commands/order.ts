/** Reports about orders and other documents. */
import type { OrderCommand, ReportedLine } from '../../domain/order/commands.ts';
import { present } from '../../domain/aggregate.ts';
import {
  ConfirmOrderRequest,
  DeclineOrderRequest,
  OrderCommandServiceService as methods,
  type OrderLine,
  ReportReturnRequest,
  ReportStockAdjustmentRequest,
  RestoreOrderRequest,
  ReturnLinesRequest,
  SettleOrderRequest,
  TrackOrderRequest,
} from '../../gen/tallyback/order/v1/order_command_service.ts';
import type { AggregateCommand } from '../../application/commands.ts';
import { mapping } from './mapping.ts';

interface OfDocument {
  readonly source: string;
  readonly externalId: string;
  readonly occurredAt: Date | undefined;
}

const document = (request: OfDocument) => ({
  source: request.source,
  externalId: request.externalId,
  at: present(request.occurredAt, 'occurred_at'),
});

const order = (command: OrderCommand): AggregateCommand => ({ aggregate: 'order', command });

const reportedLine = (line: OrderLine): ReportedLine => ({
  lineNo: line.lineNo,
  sku: line.sku,
  category: line.category,
  quantity: line.quantity,
  unitPrice: line.unitPrice,
  orderedAt: line.orderedAt,
  service: line.service,
});

export const trackOrder = mapping({
  method: methods.trackOrder,
  type: TrackOrderRequest,
  toCommand: (r: TrackOrderRequest) =>
    order({
      kind: 'track',
      ...document(r),
      merchant: r.merchant,
      member: r.member,
      currency: r.currency,
      sourceVersion: r.sourceVersion,
      lines: r.lines.map(reportedLine),
    }),
});

export const returnLines = mapping({
  method: methods.returnLines,
  type: ReturnLinesRequest,
  toCommand: (r: ReturnLinesRequest) =>
    order({ kind: 'return-lines', ...document(r), returnId: r.returnId, lines: r.lines }),
});

export const confirmOrder = mapping({
  method: methods.confirmOrder,
  type: ConfirmOrderRequest,
  toCommand: (r: ConfirmOrderRequest) =>
    order({ kind: 'confirm', ...document(r), sourceVersion: r.sourceVersion }),
});

export const declineOrder = mapping({
  method: methods.declineOrder,
  type: DeclineOrderRequest,
  toCommand: (r: DeclineOrderRequest) =>
    order({ kind: 'decline', ...document(r), sourceVersion: r.sourceVersion, reason: r.reason }),
});

export const restoreOrder = mapping({
  method: methods.restoreOrder,
  type: RestoreOrderRequest,
  toCommand: (r: RestoreOrderRequest) =>
    order({ kind: 'restore', ...document(r), sourceVersion: r.sourceVersion }),
});

export const settleOrder = mapping({
  method: methods.settleOrder,
  type: SettleOrderRequest,
  toCommand: (r: SettleOrderRequest) =>
    order({ kind: 'settle', ...document(r), sourceVersion: r.sourceVersion, statementId: r.statementId }),
});

export const reportReturn = mapping({
  method: methods.reportReturn,
  type: ReportReturnRequest,
  toCommand: (r: ReportReturnRequest) =>
    order({
      kind: 'report-return',
      ...document(r),
      merchant: r.merchant,
      member: r.member,
      currency: r.currency,
      lines: r.lines.map(reportedLine),
    }),
});

export const reportStockAdjustment = mapping({
  method: methods.reportStockAdjustment,
  type: ReportStockAdjustmentRequest,
  toCommand: (r: ReportStockAdjustmentRequest) =>
    order({ kind: 'report-stock-adjustment', ...document(r), merchant: r.merchant, lines: r.lines }),
});
