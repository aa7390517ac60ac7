/**
 * Trading figures per merchant and currency, in windows of an hour and of a day by business time. Each event adds
 * to the windows its times fall in, whenever it comes.
 */
import { additive } from '../engine/additive.ts';
import type { RowOf } from '../engine/read-model.ts';
import { type Amounts, figuresOf, handles } from './amounts.ts';
import { windowLengths, windowStart } from './windows.ts';

const columns = {
  merchant: 'text',
  /** Empty for stock adjustments. */
  currency: 'text',
  /** 'hour' or 'day'. */
  length: 'text',
  start: 'timestamptz',
  orders: 'bigint',
  order_lines: 'bigint',
  returns: 'bigint',
  return_lines: 'bigint',
  stock_adjustments: 'bigint',
  stock_adjustment_lines: 'bigint',
  sales_minor: 'bigint',
  refunds_minor: 'bigint',
  units_sold: 'bigint',
  units_returned: 'bigint',
  earned_minor: 'bigint',
  rebated_lines: 'bigint',
  clawed_minor: 'bigint',
  orphan_lines: 'bigint',
  orphan_units: 'bigint',
} as const;

export type FiguresRow = RowOf<typeof columns>;

const noAmounts: Required<Amounts> = {
  orders: 0n,
  order_lines: 0n,
  returns: 0n,
  return_lines: 0n,
  stock_adjustments: 0n,
  stock_adjustment_lines: 0n,
  sales_minor: 0n,
  refunds_minor: 0n,
  units_sold: 0n,
  units_returned: 0n,
  earned_minor: 0n,
  rebated_lines: 0n,
  clawed_minor: 0n,
  orphan_lines: 0n,
  orphan_units: 0n,
};

export const figures = additive({
  name: 'figures',
  version: 1,
  table: { columns, key: ['merchant', 'currency', 'length', 'start'], indexes: [['length', 'start']] },
  handles,
  partitionBy: 'key',
  additions: ({ event }) =>
    figuresOf(event).flatMap(({ merchant, currency, at, amounts }) =>
      windowLengths.map((length) => ({
        key: [merchant, currency, length, windowStart(length, at)],
        amounts,
      })),
    ),
  empty([merchant, currency, length, start]): FiguresRow {
    if (!(start instanceof Date)) throw new TypeError('a window starts at a time');
    return {
      merchant: String(merchant),
      currency: String(currency),
      length: String(length),
      start,
      ...noAmounts,
    };
  },
});
