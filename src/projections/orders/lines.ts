/** Lines of a document as proto3 JSON of tallyback.order.v1.OrderLineState (defaults left out). */
import { BrokenInvariant, present } from '../../domain/aggregate.ts';
import {
  type OrderLine,
  type OrderLineChange,
  type ReturnedLine,
} from '../../gen/tallyback/events/v1/order.ts';

/** int64 as decimal text, as proto3 JSON has it. */
export interface LineState {
  readonly lineNo: number;
  readonly sku: string;
  readonly quantity: string;
  readonly orderedAt: string;
  readonly category?: string;
  readonly unitPrice?: string;
  readonly amountMinor?: string;
  readonly service?: true;
  readonly returnedQuantity?: string;
}

/** Fields in one order, always: the same line is the same text. */
export const lineState = (line: OrderLine, returned: bigint): LineState => ({
  lineNo: line.lineNo,
  sku: line.sku,
  ...(line.category === '' ? {} : { category: line.category }),
  quantity: String(line.quantity),
  unitPrice: line.unitPrice,
  amountMinor: String(line.amountMinor),
  orderedAt: present(line.orderedAt, 'orderedAt').toISOString(),
  ...(line.service ? { service: true } : {}),
  ...(returned === 0n ? {} : { returnedQuantity: String(returned) }),
});

export const linesText = (lines: readonly LineState[]): { line_count: bigint; lines: string } => ({
  line_count: BigInt(lines.length),
  lines: JSON.stringify(lines),
});

/** What linesText wrote. */
export function parseLines(text: string): readonly LineState[] {
  const lines: unknown = JSON.parse(text);
  if (!Array.isArray(lines)) throw new BrokenInvariant('lines are not an array');
  // Written by linesText and by nobody else.
  return lines as readonly LineState[];
}

/** In order of line numbers, whatever the source sends. */
export function amendLines(
  lines: readonly LineState[],
  changes: readonly OrderLineChange[],
): readonly LineState[] {
  const byNumber = new Map(lines.map((line) => [line.lineNo, line]));
  for (const { before, after, returnedQuantity } of changes) {
    if (before) byNumber.delete(before.lineNo);
    if (after) byNumber.set(after.lineNo, lineState(after, returnedQuantity));
  }
  return [...byNumber.values()].toSorted((a, b) => a.lineNo - b.lineNo);
}

export function returnLines(
  lines: readonly LineState[],
  returned: readonly ReturnedLine[],
): readonly LineState[] {
  const byNumber = new Map<number, bigint>();
  for (const { line, quantity } of returned) {
    const { lineNo } = present(line, 'line');
    byNumber.set(lineNo, (byNumber.get(lineNo) ?? 0n) + quantity);
  }
  return lines.map((line) => {
    const quantity = byNumber.get(line.lineNo);
    if (quantity === undefined) return line;
    return { ...line, returnedQuantity: String(BigInt(line.returnedQuantity ?? '0') + quantity) };
  });
}
