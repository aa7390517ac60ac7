/** Orders as they stand, from what was reported of them; and what each of them earns and takes from stock. */
import type { OrderLine } from '../../../src/gen/tallyback/events/v1/order.ts';
import type { StoredEvent } from '../log.ts';
import { type Expected, keyText } from './rows.ts';

interface Document {
  kind: 'ORDER' | 'STOCK_ADJUSTMENT';
  member: string;
  status: 'UNSPECIFIED' | 'TRACKED' | 'CONFIRMED' | 'DECLINED';
  version: bigint;
  statusVersion: bigint;
  amount: bigint;
  refunded: bigint;
  timeline: number;
  readonly lines: Map<number, OrderLine>;
  readonly returned: Map<number, bigint>;
}

/** By their numbers in the contract. */
const statuses: readonly Document['status'][] = ['UNSPECIFIED', 'TRACKED', 'CONFIRMED', 'DECLINED'];

export interface Orders {
  readonly orders: Expected;
  /** What each order with a member earns as it stands, by its name "source~external id". */
  readonly rebates: ReadonlyMap<string, bigint>;
}

export function recomputeOrders(log: readonly StoredEvent[], rebateBps: number): Orders {
  const documents = new Map<string, Document>();
  for (const event of log) {
    if (!('header' in event.data)) continue;
    const key = keyText(event.data.header?.source, event.data.header?.externalId);
    const document = documents.get(key) ?? unheardOf();
    documents.set(key, document);
    document.timeline++;
    apply(document, event);
  }
  const rows = new Map(
    [...documents].map(([key, d]) => [
      key,
      {
        kind: `DOCUMENT_KIND_${d.kind}`,
        member: d.member,
        status: `ORDER_STATUS_${d.status}`,
        source_version: d.version,
        status_version: d.statusVersion,
        amount_minor: d.amount,
        refunded_minor: d.refunded,
        line_count: BigInt(d.lines.size),
        timeline: `${Math.min(d.timeline, 200)} entries`,
      },
    ]),
  );
  const rebates = new Map(
    [...documents]
      .filter(([, { member }]) => member !== '')
      .map(([key, document]) => [key.replace(' | ', '~'), rebateOf(document, BigInt(rebateBps))]),
  );
  return { orders: { key: ['source', 'external_id'], rows }, rebates };
}

const unheardOf = (): Document => ({
  kind: 'ORDER',
  member: '',
  status: 'UNSPECIFIED',
  version: 0n,
  statusVersion: 0n,
  amount: 0n,
  refunded: 0n,
  timeline: 0,
  lines: new Map(),
  returned: new Map(),
});

/** Prices have two decimals, so that a line's amount is exact; the rebate is floored line by line. */
function rebateOf({ status, lines, returned }: Document, bps: bigint): bigint {
  if (status === 'DECLINED') return 0n;
  return [...lines].reduce((sum, [lineNo, { quantity, unitPrice }]) => {
    const kept = quantity - (returned.get(lineNo) ?? 0n);
    return sum + (kept * BigInt(unitPrice.replace('.', '')) * bps) / 10_000n;
  }, 0n);
}

function apply(document: Document, { type, data }: StoredEvent): void {
  switch (type) {
    case 'OrderTracked':
      document.member = data.header?.member ?? '';
      document.status = statuses[data.status] ?? 'UNSPECIFIED';
      document.version = data.sourceVersion;
      document.amount = data.amountMinor;
      for (const line of data.lines) document.lines.set(line.lineNo, line);
      return;
    case 'OrderAmended':
      document.version = data.sourceVersion;
      document.amount = data.amountMinor;
      for (const { before, after } of data.changes) {
        if (before) document.lines.delete(before.lineNo);
        if (after) document.lines.set(after.lineNo, after);
      }
      return;
    case 'LinesReturned':
      document.refunded += data.refundMinor;
      for (const { line, quantity } of data.lines) {
        const lineNo = line?.lineNo ?? 0;
        document.returned.set(lineNo, (document.returned.get(lineNo) ?? 0n) + quantity);
      }
      return;
    case 'OrderConfirmed':
    case 'OrderDeclined':
    case 'OrderRestored':
      document.status =
        type === 'OrderConfirmed' ? 'CONFIRMED' : type === 'OrderDeclined' ? 'DECLINED' : 'TRACKED';
      document.statusVersion = data.sourceVersion;
      return;
    case 'StockAdjustmentReported':
      document.kind = 'STOCK_ADJUSTMENT';
      document.status = 'UNSPECIFIED';
      for (const line of data.lines)
        document.lines.set(line.lineNo, { ...noLine, lineNo: line.lineNo, sku: line.sku });
      return;
    default:
  }
}

const noLine: OrderLine = {
  lineNo: 0,
  sku: '',
  category: '',
  quantity: 0n,
  unitPrice: '0.00',
  amountMinor: 0n,
  orderedAt: undefined,
  service: false,
};
