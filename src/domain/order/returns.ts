/** Goods of a known order that came back. */
import { accept, refuse, type Decision } from '../aggregate.ts';
import { lineAmountMinor } from '../money.ts';
import type { ReturnedLine } from '../../gen/tallyback/events/v1/order.ts';
import type { OrderCommand } from './commands.ts';
import { returnFingerprint } from './content.ts';
import { refuseDuplicates, refuseQuantity } from './lines.ts';
import type { OrderEventType, OrderState } from './state.ts';

type ReturnLines = Extract<OrderCommand, { readonly kind: 'return-lines' }>;

export function returnLines(
  { tracked }: OrderState,
  { source, externalId, returnId, lines, at }: ReturnLines,
): Decision<OrderEventType> {
  if (tracked === undefined) {
    return refuse('not-found', 'ORDER_NOT_FOUND', `order ${externalId} of ${source} is not tracked`);
  }
  const counted = tracked.returns.get(returnId);
  if (counted !== undefined) {
    return counted === returnFingerprint(lines)
      ? accept()
      : refuse('already-exists', 'RETURN_ID_REUSED', `return ${returnId} was reported with other lines`);
  }
  if (lines.length === 0) return refuse('invalid', 'NO_LINES', 'a return needs at least one line');
  const duplicate = refuseDuplicates(lines);
  if (duplicate !== undefined) return duplicate;

  const returned: ReturnedLine[] = [];
  for (const { lineNo, quantity } of lines) {
    const invalid = refuseQuantity(lineNo, quantity);
    if (invalid !== undefined) return invalid;
    const known = tracked.lines.get(lineNo);
    if (known === undefined) {
      return refuse('not-found', 'LINE_NOT_FOUND', `the order has no line ${lineNo}`);
    }
    const { line } = known;
    const keptBefore = line.quantity - known.returned;
    const keptQuantity = keptBefore - quantity;
    if (keptQuantity < 0n) {
      return refuse(
        'precondition',
        'RETURNED_EXCEEDS_BOUGHT',
        `line ${lineNo}: the member keeps ${keptBefore} units`,
      );
    }
    const costOf = (units: bigint) => lineAmountMinor(line.unitPrice, units, tracked.header.currency);
    returned.push({ line, quantity, keptQuantity, refundMinor: costOf(keptBefore) - costOf(keptQuantity) });
  }
  return accept({
    type: 'LinesReturned',
    data: {
      header: tracked.header,
      occurredAt: at,
      returnId,
      lines: returned,
      refundMinor: returned.reduce((sum, line) => sum + line.refundMinor, 0n),
    },
  });
}
