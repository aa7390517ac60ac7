/** Figures by hour and day, and leaderboards: sums of what events say, whatever their order. */
import type { OrderLine } from '../../../src/gen/tallyback/events/v1/order.ts';
import type { StoredEvent } from '../log.ts';
import { type Expected, keyText } from './rows.ts';

type Sums = Map<string, Record<string, bigint>>;

export interface Trade {
  readonly figures: Expected;
  readonly leaderboard: Expected;
}

export function recomputeTrade(log: readonly StoredEvent[]): Trade {
  const figures: Sums = new Map();
  const scores: Sums = new Map();
  for (const event of log) {
    addFigures(figures, event);
    addScores(scores, event);
  }
  return {
    figures: {
      key: ['merchant', 'currency', 'length', 'start'],
      rows: figures,
      zerosMayBeMissing: true,
    },
    leaderboard: {
      key: ['board', 'merchant', 'month', 'subject', 'currency'],
      rows: scores,
      zerosMayBeMissing: true,
    },
  };
}

function add(sums: Sums, key: string, amounts: Readonly<Record<string, bigint>>): void {
  const sum = sums.get(key) ?? {};
  sums.set(key, sum);
  for (const [name, amount] of Object.entries(amounts)) sum[name] = (sum[name] ?? 0n) + amount;
}

function addFigures(figures: Sums, { type, data }: StoredEvent): void {
  const of = (merchant: string, currency: string, at: Date | undefined, amounts: Record<string, bigint>) => {
    const iso = (at ?? new Date(0)).toISOString();
    add(figures, keyText(merchant, currency, 'hour', `${iso.slice(0, 13)}:00:00.000Z`), amounts);
    add(figures, keyText(merchant, currency, 'day', `${iso.slice(0, 10)}T00:00:00.000Z`), amounts);
  };
  if ('header' in data && data.header) {
    const { merchant, currency } = data.header;
    const line = ({ orderedAt, amountMinor, quantity, service }: OrderLine, sign: bigint): void =>
      of(merchant, currency, orderedAt, {
        order_lines: sign,
        sales_minor: sign * amountMinor,
        units_sold: service ? 0n : sign * quantity,
      });
    switch (type) {
      case 'OrderTracked':
        of(merchant, currency, data.occurredAt, { orders: 1n });
        for (const one of data.lines) line(one, 1n);
        return;
      case 'OrderAmended':
        for (const { before, after } of data.changes) {
          if (before) line(before, -1n);
          if (after) line(after, 1n);
        }
        return;
      case 'LinesReturned':
        of(merchant, currency, data.occurredAt, { returns: 1n, refunds_minor: data.refundMinor });
        for (const { line: returned, quantity } of data.lines)
          of(merchant, currency, data.occurredAt, {
            return_lines: 1n,
            units_returned: returned?.service === true ? 0n : quantity,
          });
        return;
      case 'StockAdjustmentReported':
        of(merchant, currency, data.occurredAt, {
          stock_adjustments: 1n,
          stock_adjustment_lines: BigInt(data.lines.length),
        });
        return;
      default:
        return;
    }
  }
  if (type === 'RebateAccrued') {
    const { merchant, currency, occurredAt } = data;
    for (const { orderedAt, rebateMinor } of data.lines)
      of(merchant, currency, orderedAt, { earned_minor: rebateMinor, rebated_lines: 1n });
    for (const { rebateBefore, rebateAfter } of data.changes)
      of(merchant, currency, occurredAt, { earned_minor: rebateAfter - rebateBefore });
  }
  if (type === 'RebateReversed')
    of(data.merchant, data.currency, data.occurredAt, { clawed_minor: data.amountMinor });
}

function addScores(scores: Sums, { type, data }: StoredEvent): void {
  const points = (
    board: string,
    merchant: string,
    subject: string,
    currency: string,
    at: Date | undefined,
    score: bigint,
  ) => {
    for (const month of ['', (at ?? new Date(0)).toISOString().slice(0, 7)])
      add(scores, keyText(board, merchant, month, subject, currency), { score });
  };
  switch (type) {
    case 'RebateAccrued': {
      const { member, merchant, currency, occurredAt } = data;
      for (const { orderedAt, rebateMinor } of data.lines)
        points('BOARD_MEMBERS_BY_REBATE', merchant, member, currency, orderedAt, rebateMinor);
      for (const { rebateBefore, rebateAfter } of data.changes)
        points('BOARD_MEMBERS_BY_REBATE', merchant, member, currency, occurredAt, rebateAfter - rebateBefore);
      return;
    }
    case 'RebateReversed': {
      const { member, merchant, currency, occurredAt, amountMinor } = data;
      points('BOARD_MEMBERS_BY_REBATE', merchant, member, currency, occurredAt, -amountMinor);
      return;
    }
    case 'StockSold':
    case 'StockTakenBack': {
      const units = type === 'StockSold' ? data.quantity : -data.quantity;
      points(
        'BOARD_ITEMS_BY_UNITS',
        data.level?.merchant ?? '',
        data.level?.sku ?? '',
        '',
        data.occurredAt,
        units,
      );
      return;
    }
    default:
  }
}
