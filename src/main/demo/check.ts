/** The end of the demo: what the query API answers, and what a watching client holds, against the log. */
import type { Balance } from '../../gen/tallyback/account/v1/account_query_service.ts';
import {
  type AnswerSource,
  balanceKey,
  balanceRow,
  balancesAnswered,
  boardsAnswered,
  ordersAnswered,
  statementsAnswered,
  stockAnswered,
  windowsAnswered,
} from './answers.ts';
import { type LogEntry, recompute } from './recompute.ts';
import { type Comparison, compare, type Table, withoutNothing } from './table.ts';

export interface CheckResult {
  readonly events: number;
  readonly comparisons: readonly Comparison[];
  readonly equal: boolean;
}

const asTable = (balances: Iterable<Balance>): Table =>
  new Map([...balances].map((balance) => [balanceKey(balance), balanceRow(balance)]));

/** Looks again until the two agree, for a while: the last message of a watch may still be on its way. */
async function watched(answered: Table, held: () => Iterable<Balance>, waitMs: number): Promise<Comparison> {
  const until = performance.now() + waitMs;
  for (;;) {
    const result = compare('balances as watched', answered, asTable(held()));
    if (result.different === 0 || performance.now() > until) return result;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export async function check(
  from: AnswerSource,
  log: AsyncIterable<LogEntry>,
  held: () => Iterable<Balance>,
): Promise<CheckResult> {
  const expected = await recompute(log);
  const balances = await balancesAnswered(from);
  const answered = asTable(balances);
  // Boards are asked for by name: those that the log speaks of.
  const boardKeys = [...expected.boards.keys()].map((key) => key.split(' | '));
  const merchants = [...new Set(boardKeys.map(([, merchant = '']) => merchant))];
  const months = [...new Set(boardKeys.map(([, , month = '']) => month))].filter((month) => month !== '');
  const comparisons = [
    compare('balances', expected.balances, answered),
    await watched(answered, held, 10_000),
    compare('statement entries', expected.statements, await statementsAnswered(from, balances)),
    compare('stock', expected.stock, await stockAnswered(from)),
    compare('orders', expected.orders, await ordersAnswered(from)),
    compare('windows', withoutNothing(expected.windows), withoutNothing(await windowsAnswered(from))),
    compare(
      'leaderboard',
      withoutNothing(expected.boards),
      withoutNothing(await boardsAnswered(from, merchants, months)),
    ),
  ];
  return { events: expected.events, comparisons, equal: comparisons.every((c) => c.different === 0) };
}
