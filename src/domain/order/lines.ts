/** From lines as reported to lines as recorded: checked, with their amounts. */
import { refuse, type Decision } from '../aggregate.ts';
import { amountOverflow, fitsInt64, largestDocumentMinor, lineAmountMinor, parsePrice } from '../money.ts';
import type { OrderLine } from '../../gen/tallyback/events/v1/order.ts';
import type { ReportedLine } from './commands.ts';

export interface RecordedLines {
  readonly kind: 'recorded';
  readonly lines: OrderLine[];
  /** Their sum. */
  readonly amountMinor: bigint;
}

/**
 * @param orderedAt the order time of a line whose report says none
 * @returns the lines, or a refusal of class "invalid"
 */
export function recordLines(
  reported: readonly ReportedLine[],
  currency: string,
  orderedAt: (line: ReportedLine) => Date,
): RecordedLines | Decision<never> {
  const duplicate = refuseDuplicates(reported);
  if (duplicate !== undefined) return duplicate;
  const lines: OrderLine[] = [];
  let total = 0n;
  for (const line of reported) {
    const { lineNo, sku, category, quantity, unitPrice, service } = line;
    const invalid = refuseQuantity(lineNo, quantity) ?? refusePrice(lineNo, unitPrice);
    if (invalid !== undefined) return invalid;
    const amountMinor = lineAmountMinor(unitPrice, quantity, currency);
    total += amountMinor;
    if (total > largestDocumentMinor) {
      return refuse(
        'invalid',
        'AMOUNT_OVERFLOW',
        `the lines come to more than ${largestDocumentMinor} minor units`,
      );
    }
    lines.push({
      lineNo,
      sku,
      category,
      quantity,
      unitPrice,
      amountMinor,
      orderedAt: line.orderedAt ?? orderedAt(line),
      service,
    });
  }
  return { kind: 'recorded', lines, amountMinor: total };
}

export function refuseDuplicates(lines: readonly { readonly lineNo: number }[]): Decision<never> | undefined {
  const seen = new Set<number>();
  for (const { lineNo } of lines) {
    if (seen.has(lineNo)) return refuse('invalid', 'DUPLICATE_LINE', `line ${lineNo} appears twice`);
    seen.add(lineNo);
  }
  return undefined;
}

export function refuseQuantity(lineNo: number, quantity: bigint): Decision<never> | undefined {
  if (quantity < 1n) {
    return refuse('invalid', 'QUANTITY_NOT_POSITIVE', `line ${lineNo} needs at least one unit`);
  }
  return fitsInt64(quantity) ? undefined : amountOverflow(`the quantity of line ${lineNo}`);
}

function refusePrice(lineNo: number, unitPrice: string): Decision<never> | undefined {
  return parsePrice(unitPrice) === undefined
    ? refuse('invalid', 'PRICE_FORMAT', `line ${lineNo}: a price is digits with up to six decimals`)
    : undefined;
}

/** Whether a source reported the line in just the same words. */
export const sameLine = (a: OrderLine, b: OrderLine): boolean =>
  a.lineNo === b.lineNo &&
  a.sku === b.sku &&
  a.category === b.category &&
  a.quantity === b.quantity &&
  a.unitPrice === b.unitPrice &&
  a.orderedAt?.getTime() === b.orderedAt?.getTime() &&
  a.service === b.service;
