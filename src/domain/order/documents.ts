/** Documents that are reported once and never change: returns that name no order, and stock adjustments. */
import { accept, refuse, type Decision } from '../aggregate.ts';
import { amountOverflow, fitsInt64 } from '../money.ts';
import type { OrderHeader } from '../../gen/tallyback/events/v1/order.ts';
import type { OrderCommand } from './commands.ts';
import { documentFingerprint } from './content.ts';
import { recordLines, refuseDuplicates } from './lines.ts';
import type { OrderEvent, OrderEventType, OrderState } from './state.ts';

type Of<K extends OrderCommand['kind']> = Extract<OrderCommand, { readonly kind: K }>;

export function reportReturn(state: OrderState, command: Of<'report-return'>): Decision<OrderEventType> {
  const { source, externalId, merchant, member, currency, at } = command;
  if (command.lines.length === 0) return refuse('invalid', 'NO_LINES', 'a return needs at least one line');
  const recorded = recordLines(command.lines, currency, () => at);
  if (recorded.kind !== 'recorded') return recorded;
  const { lines, amountMinor } = recorded;
  const header = { source, externalId, merchant, member, currency };
  return once(state, documentFingerprint(header, lines), {
    type: 'ReturnReported',
    data: { header, occurredAt: at, lines, refundMinor: amountMinor },
  });
}

export function reportStockAdjustment(
  state: OrderState,
  { source, externalId, merchant, lines, at }: Of<'report-stock-adjustment'>,
): Decision<OrderEventType> {
  if (lines.length === 0) return refuse('invalid', 'NO_LINES', 'an adjustment needs at least one line');
  const duplicate = refuseDuplicates(lines);
  if (duplicate !== undefined) return duplicate;
  for (const { lineNo, delta } of lines) {
    if (delta === 0n) return refuse('invalid', 'DELTA_ZERO', `line ${lineNo} changes nothing`);
    if (!fitsInt64(delta)) return amountOverflow(`the units of line ${lineNo}`);
  }
  const header: OrderHeader = { source, externalId, merchant, member: '', currency: '' };
  return once(state, documentFingerprint(header, lines), {
    type: 'StockAdjustmentReported',
    data: { header, occurredAt: at, lines: [...lines] },
  });
}

function once(state: OrderState, content: string, event: OrderEvent): Decision<OrderEventType> {
  if (state.content === undefined) return accept(event);
  return state.content === content
    ? accept()
    : refuse('already-exists', 'DOCUMENT_CHANGED', 'the document was reported with other content');
}
