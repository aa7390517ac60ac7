/** Documents as they stand, from what was reported. */
import type { DomainEvent } from '../../domain/events.ts';
import type { OrderHeader } from '../../gen/tallyback/events/v1/order.ts';
import { keyOf, rowOf, type Table } from './table.ts';

interface Document {
  kind: 'ORDER' | 'RETURN' | 'STOCK_ADJUSTMENT';
  header: OrderHeader;
  status: number;
  at: Date | undefined;
  version: bigint;
  amount: bigint;
  refunded: bigint;
  readonly lines: Set<number>;
}

// Statuses by their number in the contract.
const status = { tracked: 1, confirmed: 2, declined: 3, settled: 4 } as const;

export function orderRecomputation() {
  const documents = new Map<string, Document>();

  return {
    add(event: DomainEvent): void {
      const { data } = event;
      if (!('header' in data) || !data.header) return;
      const key = keyOf(data.header.source, data.header.externalId);
      let document = documents.get(key);
      if (!document) {
        const lines = new Set<number>();
        const { header, occurredAt: at } = data;
        document = { kind: 'ORDER', header, status: 0, at, version: 0n, amount: 0n, refunded: 0n, lines };
        documents.set(key, document);
      }
      apply(document, event);
    },
    table(): Table {
      const rows = [...documents].map(([key, d]): [string, string] => {
        const { merchant, member, currency } = d.header;
        const { kind, status: s, at, version, amount, refunded } = d;
        const lines = d.lines.size;
        return [
          key,
          rowOf({ kind, merchant, member, currency, status: s, at, version, amount, refunded, lines }),
        ];
      });
      return new Map(rows);
    },
  };
}

function apply(document: Document, { type, data }: DomainEvent): void {
  switch (type) {
    case 'OrderTracked':
      document.header = data.header ?? document.header;
      document.status = data.status;
      document.at = data.occurredAt;
      document.version = data.sourceVersion;
      document.amount = data.amountMinor;
      for (const line of data.lines) document.lines.add(line.lineNo);
      return;
    case 'OrderAmended':
      document.version = data.sourceVersion;
      document.amount = data.amountMinor;
      for (const { before, after } of data.changes) {
        if (before) document.lines.delete(before.lineNo);
        if (after) document.lines.add(after.lineNo);
      }
      return;
    case 'LinesReturned':
      document.refunded += data.refundMinor;
      return;
    case 'OrderConfirmed':
      document.status = status.confirmed;
      return;
    case 'OrderDeclined':
      document.status = status.declined;
      return;
    case 'OrderRestored':
      document.status = status.tracked;
      return;
    case 'OrderSettled':
      document.status = status.settled;
      return;
    case 'ReturnReported':
      document.kind = 'RETURN';
      document.refunded = data.refundMinor;
      for (const line of data.lines) document.lines.add(line.lineNo);
      return;
    case 'StockAdjustmentReported':
      document.kind = 'STOCK_ADJUSTMENT';
      for (const line of data.lines) document.lines.add(line.lineNo);
      return;
    default:
  }
}
