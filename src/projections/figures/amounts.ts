/** What an event adds to the trading figures, and at which times. */
import { present } from '../../domain/aggregate.ts';
import type { DomainEvent } from '../../domain/events.ts';
import type { OrderLine } from '../../gen/tallyback/events/v1/order.ts';

export const handles = [
  'OrderTracked',
  'OrderAmended',
  'LinesReturned',
  'ReturnReported',
  'StockAdjustmentReported',
  'RebateAccrued',
  'RebateReversed',
  'ReturnTaken',
] as const;

export type Amounts = Partial<
  Record<
    | 'orders'
    | 'order_lines'
    | 'returns'
    | 'return_lines'
    | 'stock_adjustments'
    | 'stock_adjustment_lines'
    | 'sales_minor'
    | 'refunds_minor'
    | 'units_sold'
    | 'units_returned'
    | 'earned_minor'
    | 'rebated_lines'
    | 'clawed_minor'
    | 'orphan_lines'
    | 'orphan_units',
    bigint
  >
>;

export interface TimedAmounts {
  readonly merchant: string;
  readonly currency: string;
  /** The windows that hold this time get the amounts. */
  readonly at: Date;
  readonly amounts: Amounts;
}

export function figuresOf(event: DomainEvent<(typeof handles)[number]>): readonly TimedAmounts[] {
  const { data } = event;
  const occurredAt = present(data.occurredAt, 'occurredAt');
  const { merchant, currency } = 'header' in data ? present(data.header, 'header') : data;
  const add = (at: Date | undefined, amounts: Amounts): TimedAmounts => ({
    merchant,
    currency,
    at: at ?? occurredAt,
    amounts,
  });
  switch (event.type) {
    case 'OrderTracked':
      return [
        add(occurredAt, { orders: 1n }),
        ...event.data.lines.map((line) => add(line.orderedAt, sold(line, 1n))),
      ];
    case 'OrderAmended':
      return event.data.changes.flatMap(({ before, after }) => [
        ...(before ? [add(before.orderedAt, sold(before, -1n))] : []),
        ...(after ? [add(after.orderedAt, sold(after, 1n))] : []),
      ]);
    case 'LinesReturned':
      return [
        add(occurredAt, { returns: 1n }),
        ...event.data.lines.map(({ line, quantity, refundMinor }) =>
          add(occurredAt, {
            return_lines: 1n,
            refunds_minor: refundMinor,
            units_returned: present(line, 'line').service ? 0n : quantity,
          }),
        ),
      ];
    case 'ReturnReported':
      return [
        add(occurredAt, { returns: 1n }),
        ...event.data.lines.map((line) =>
          add(line.orderedAt, {
            return_lines: 1n,
            refunds_minor: line.amountMinor,
            units_returned: units(line),
          }),
        ),
      ];
    case 'StockAdjustmentReported':
      return [
        add(occurredAt, {
          stock_adjustments: 1n,
          stock_adjustment_lines: BigInt(event.data.lines.length),
        }),
      ];
    case 'RebateAccrued':
      return [
        ...event.data.lines.map((line) =>
          add(line.orderedAt, { earned_minor: line.rebateMinor, rebated_lines: 1n }),
        ),
        ...event.data.changes.map((change) =>
          add(occurredAt, { earned_minor: change.rebateAfter - change.rebateBefore }),
        ),
      ];
    case 'RebateReversed':
      return [add(occurredAt, { clawed_minor: event.data.amountMinor })];
    case 'ReturnTaken':
      return [
        add(occurredAt, {
          clawed_minor: event.data.amountMinor,
          orphan_lines: BigInt(event.data.lines.filter((line) => line.orphanQuantity > 0n).length),
          orphan_units: event.data.lines.reduce((sum, line) => sum + line.orphanQuantity, 0n),
        }),
      ];
  }
}

/** A line that counts (1) or counts no more (-1). Services are sold, but are not units. */
const sold = (line: OrderLine, sign: 1n | -1n): Amounts => ({
  order_lines: sign,
  sales_minor: sign * line.amountMinor,
  units_sold: sign * units(line),
});

const units = (line: OrderLine): bigint => (line.service ? 0n : line.quantity);
