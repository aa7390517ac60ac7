/** What makes two reports of one document the same. Times are left out: a repeat may be stamped anew. */
import { fingerprint } from '../fingerprint.ts';
import { priceMicros } from '../money.ts';
import type { OrderHeader, OrderLine, StockAdjustmentLine } from '../../gen/tallyback/events/v1/order.ts';

export function documentFingerprint(
  { merchant, member, currency }: OrderHeader,
  lines: readonly (OrderLine | StockAdjustmentLine)[],
): string {
  return fingerprint(merchant, member, currency, ...lines.flatMap(partsOf));
}

const partsOf = (line: OrderLine | StockAdjustmentLine): (string | number | bigint)[] =>
  'delta' in line
    ? [line.lineNo, line.sku, line.delta, line.reason]
    : [
        line.lineNo,
        line.sku,
        line.category,
        line.quantity,
        priceMicros(line.unitPrice),
        line.service ? 'service' : 'goods',
      ];

export function returnFingerprint(
  lines: readonly { readonly lineNo: number; readonly quantity: bigint }[],
): string {
  const inOrder = lines.toSorted((a, b) => a.lineNo - b.lineNo);
  return fingerprint(...inOrder.flatMap(({ lineNo, quantity }) => [lineNo, quantity]));
}
