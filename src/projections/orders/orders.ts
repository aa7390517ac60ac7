/**
 * Reported documents — orders, returns that name no order, stock adjustments — as they stand now, each with its
 * timeline. Enum values are kept by their proto names, lines and timeline as proto3 JSON of the messages that the
 * query service answers with.
 */
import { present } from '../../domain/aggregate.ts';
import type { DomainEvent } from '../../domain/events.ts';
import { orderStatusToJSON } from '../../gen/tallyback/events/v1/order.ts';
import { orderStream } from '../../domain/streams.ts';
import { defineReadModel, type RowOf } from '../engine/read-model.ts';
import { amendLines, lineState, linesText, parseLines, returnLines } from './lines.ts';
import { timelineWith } from './timeline.ts';

const columns = {
  source: 'text',
  external_id: 'text',
  /** 'DOCUMENT_KIND_ORDER', 'DOCUMENT_KIND_RETURN' or 'DOCUMENT_KIND_STOCK_ADJUSTMENT'. */
  kind: 'text',
  // Empty while only a status was reported.
  merchant: 'text',
  member: 'text',
  currency: 'text',
  /** See DocumentStatus. */
  status: 'text',
  /** Business time of the document; of the first status while nothing else is known. */
  occurred_at: 'timestamptz',
  /** Of the lines; 0 while only a status was reported. */
  source_version: 'bigint',
  /** Of the status, which the source counts separately; 0 if none was reported. */
  status_version: 'bigint',
  /** Of all lines of an order, before returns. */
  amount_minor: 'bigint',
  refunded_minor: 'bigint',
  line_count: 'bigint',
  /** A JSON array of OrderLineState. */
  lines: 'json',
  /** A JSON array of TimelineEntry: the first 200. */
  timeline: 'json',
} as const;

export type OrderRow = RowOf<typeof columns>;

export type DocumentStatus =
  | 'ORDER_STATUS_UNSPECIFIED'
  | 'ORDER_STATUS_TRACKED'
  | 'ORDER_STATUS_CONFIRMED'
  | 'ORDER_STATUS_DECLINED'
  | 'ORDER_STATUS_SETTLED';

const handles = [
  'OrderTracked',
  'OrderAmended',
  'LinesReturned',
  'OrderConfirmed',
  'OrderDeclined',
  'OrderRestored',
  'OrderSettled',
  'ReturnReported',
  'StockAdjustmentReported',
] as const;

type OrderEvent = DomainEvent<(typeof handles)[number]>;

export const orders = defineReadModel({
  name: 'orders',
  version: 1,
  table: {
    columns,
    key: ['source', 'external_id'],
    indexes: [
      ['member', 'source', 'external_id'],
      ['merchant', 'source', 'external_id'],
    ],
  },
  handles,
  streamOf: ([source, externalId]) => orderStream(String(source), String(externalId)),
  partitionBy: 'stream',
  keys({ event }) {
    const { source, externalId } = present(event.data.header, 'header');
    return [[source, externalId]];
  },
  fold(row, { event }): OrderRow {
    const document = changed(row ?? unheardOf(event), event);
    return { ...document, timeline: timelineWith(document.timeline, event) };
  },
});

function unheardOf({ data }: OrderEvent): OrderRow {
  const header = present(data.header, 'header');
  return {
    source: header.source,
    external_id: header.externalId,
    kind: 'DOCUMENT_KIND_ORDER',
    merchant: header.merchant,
    member: header.member,
    currency: header.currency,
    status: 'ORDER_STATUS_UNSPECIFIED',
    occurred_at: present(data.occurredAt, 'occurredAt'),
    source_version: 0n,
    status_version: 0n,
    amount_minor: 0n,
    refunded_minor: 0n,
    line_count: 0n,
    lines: '[]',
    timeline: '[]',
  };
}

function changed(row: OrderRow, { type, data }: OrderEvent): OrderRow {
  switch (type) {
    case 'OrderTracked': {
      const { merchant, member, currency } = present(data.header, 'header');
      return {
        ...row,
        merchant,
        member,
        currency,
        status: orderStatusToJSON(data.status),
        occurred_at: present(data.occurredAt, 'occurredAt'),
        source_version: data.sourceVersion,
        amount_minor: data.amountMinor,
        ...linesText(data.lines.map((line) => lineState(line, 0n))),
      };
    }
    case 'OrderAmended':
      return {
        ...row,
        source_version: data.sourceVersion,
        amount_minor: data.amountMinor,
        ...linesText(amendLines(parseLines(row.lines), data.changes)),
      };
    case 'LinesReturned':
      return {
        ...row,
        refunded_minor: row.refunded_minor + data.refundMinor,
        ...linesText(returnLines(parseLines(row.lines), data.lines)),
      };
    case 'OrderConfirmed':
      return withStatus(row, 'ORDER_STATUS_CONFIRMED', data.sourceVersion);
    case 'OrderDeclined':
      return withStatus(row, 'ORDER_STATUS_DECLINED', data.sourceVersion);
    case 'OrderRestored':
      return withStatus(row, 'ORDER_STATUS_TRACKED', data.sourceVersion);
    case 'OrderSettled':
      return withStatus(row, 'ORDER_STATUS_SETTLED', data.sourceVersion);
    case 'ReturnReported':
      return {
        ...row,
        kind: 'DOCUMENT_KIND_RETURN',
        // Nothing was sold: what a document sold, less what it refunded, may be added up over all documents.
        refunded_minor: data.refundMinor,
        ...linesText(data.lines.map((line) => lineState(line, 0n))),
      };
    case 'StockAdjustmentReported':
      return {
        ...row,
        kind: 'DOCUMENT_KIND_STOCK_ADJUSTMENT',
        ...linesText(
          data.lines.map(({ lineNo, sku, delta }) => ({
            lineNo,
            sku,
            quantity: String(delta),
            orderedAt: row.occurred_at.toISOString(),
          })),
        ),
      };
  }
}

const withStatus = (row: OrderRow, status: DocumentStatus, version: bigint): OrderRow => ({
  ...row,
  status,
  status_version: version,
});
