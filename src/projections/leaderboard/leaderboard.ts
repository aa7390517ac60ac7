/**
 * Who leads at a merchant, in a month and of all time: members by the rebate they kept, items by the units that
 * stayed sold.
 */
import { present } from '../../domain/aggregate.ts';
import type { DomainEvent } from '../../domain/events.ts';
import { additive, type Addition } from '../engine/additive.ts';
import type { RowOf } from '../engine/read-model.ts';
import { monthOf } from '../figures/windows.ts';

const columns = {
  /** Name of the proto enum's value: see Board. */
  board: 'text',
  merchant: 'text',
  /** A calendar month in UTC as "2011-11"; empty: all time. */
  month: 'text',
  /** Member or SKU. */
  subject: 'text',
  /** Empty on boards that do not count money. */
  currency: 'text',
  /** Minor units or units. */
  score: 'bigint',
} as const;

export type LeaderboardRow = RowOf<typeof columns>;

export type Board = 'BOARD_MEMBERS_BY_REBATE' | 'BOARD_ITEMS_BY_UNITS';

const handles = ['RebateAccrued', 'RebateReversed', 'ReturnTaken', 'StockSold', 'StockTakenBack'] as const;

export const leaderboard = additive({
  name: 'leaderboard',
  version: 1,
  table: {
    columns,
    key: ['board', 'merchant', 'month', 'subject', 'currency'],
    indexes: [['board', 'merchant', 'month', 'score']],
  },
  handles,
  partitionBy: 'key',
  additions: ({ event }) =>
    pointsOf(event).flatMap(({ at, ...points }) => ['', monthOf(at)].map((month) => scored(points, month))),
  empty([board, merchant, month, subject, currency]): LeaderboardRow {
    return {
      board: String(board),
      merchant: String(merchant),
      month: String(month),
      subject: String(subject),
      currency: String(currency),
      score: 0n,
    };
  },
});

interface Points {
  readonly board: Board;
  readonly merchant: string;
  readonly subject: string;
  readonly currency: string;
  readonly score: bigint;
}

const scored = ({ board, merchant, subject, currency, score }: Points, month: string): Addition<'score'> => ({
  key: [board, merchant, month, subject, currency],
  amounts: { score },
});

function pointsOf(event: DomainEvent<(typeof handles)[number]>): readonly (Points & { readonly at: Date })[] {
  const at = present(event.data.occurredAt, 'occurredAt');
  switch (event.type) {
    case 'RebateAccrued': {
      const { member: subject, merchant, currency, lines, changes } = event.data;
      const points = { board: 'BOARD_MEMBERS_BY_REBATE', merchant, subject, currency } as const;
      return [
        // A purchase counts in the month it was made, whenever we heard of it.
        ...lines.map((line) => ({ ...points, at: line.orderedAt ?? at, score: line.rebateMinor })),
        ...changes.map((change) => ({ ...points, at, score: change.rebateAfter - change.rebateBefore })),
      ];
    }
    case 'RebateReversed':
    case 'ReturnTaken': {
      const { member: subject, merchant, currency, amountMinor } = event.data;
      return [{ board: 'BOARD_MEMBERS_BY_REBATE', merchant, subject, currency, at, score: -amountMinor }];
    }
    case 'StockSold':
    case 'StockTakenBack': {
      const { merchant, sku: subject } = present(event.data.level, 'level');
      const score = event.type === 'StockSold' ? event.data.quantity : -event.data.quantity;
      return [{ board: 'BOARD_ITEMS_BY_UNITS', merchant, subject, currency: '', at, score }];
    }
  }
}
