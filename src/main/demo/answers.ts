/** Every read model as the query API answers it, in the same form as the recomputation. */
import type { Connection } from '../client/connect.ts';
import { readAllPages } from '../client/paging.ts';
import { unary } from '../client/unary.ts';
import type { Balance } from '../../gen/tallyback/account/v1/account_query_service.ts';
import { ReadConsistency } from '../../gen/tallyback/common/v1/consistency.ts';
import { Board, WindowLength } from '../../gen/tallyback/figures/v1/figures_query_service.ts';
import { keyOf, rowOf, type Table } from './table.ts';

export interface AnswerSource {
  readonly connection: Connection;
  /** Answers include everything up to here. */
  readonly token: string;
  readonly signal: AbortSignal;
}

const consistent = (atLeast: string): ReadConsistency =>
  ReadConsistency.fromPartial({ atLeast, maxWait: { seconds: 20n, nanos: 0 } });

export const balanceKey = (balance: Balance): string => keyOf(balance.member, balance.currency);

export const balanceRow = (balance: Balance): string =>
  rowOf({
    pending: balance.pendingMinor,
    available: balance.availableMinor,
    reserved: balance.reservedMinor,
    paid: balance.paidMinor,
    debt: balance.debtMinor,
    accrued: balance.accruedMinor,
    reversed: balance.reversedMinor,
    adjusted: balance.adjustedMinor,
    entries: balance.entryCount,
    orphans: balance.orphanUnits,
    frozen: balance.frozen,
    changedAt: balance.changedAt,
    revision: balance.revision,
  });

export async function balancesAnswered({ connection, token, signal }: AnswerSource): Promise<Balance[]> {
  const { accounts } = connection;
  return readAllPages(async (page) => {
    const request = { page, consistency: consistent(token) };
    const answer = await unary(accounts, accounts.listBalances, request, { signal });
    return { rows: answer.balances, next: answer.nextPageToken };
  });
}

export async function statementsAnswered(from: AnswerSource, balances: readonly Balance[]): Promise<Table> {
  const { connection, token, signal } = from;
  const { accounts } = connection;
  const table: Table = new Map();
  for (const { member, currency } of balances) {
    const entries = await readAllPages(async (page) => {
      const request = { member, currency, page, consistency: consistent(token) };
      const answer = await unary(accounts, accounts.listStatement, request, { signal });
      return { rows: answer.entries, next: answer.nextPageToken };
    });
    for (const e of entries)
      table.set(
        keyOf(member, currency, e.revision),
        rowOf({
          at: e.occurredAt,
          kind: e.kind,
          reference: e.reference,
          merchant: e.merchant,
          amount: e.amountMinor,
          pending: e.pendingAfterMinor,
          available: e.availableAfterMinor,
          reserved: e.reservedAfterMinor,
          paid: e.paidAfterMinor,
          debt: e.debtAfterMinor,
        }),
      );
  }
  return table;
}

export async function stockAnswered({ connection, token, signal }: AnswerSource): Promise<Table> {
  const { items } = connection;
  const stock = await readAllPages(async (page) => {
    const request = { merchant: '', page, consistency: consistent(token) };
    const answer = await unary(items, items.listStock, request, { signal });
    return { rows: answer.stock, next: answer.nextPageToken };
  });
  return new Map(
    stock.map((s): [string, string] => {
      const { onHand, reserved, received, sold, takenBack, adjusted, committed, changedAt, revision } = s;
      const sums = { onHand, reserved, received, sold, takenBack, adjusted, committed, changedAt, revision };
      return [keyOf(s.merchant, s.sku), rowOf(sums)];
    }),
  );
}

const kinds = ['', 'ORDER', 'RETURN', 'STOCK_ADJUSTMENT'];

export async function ordersAnswered({ connection, token, signal }: AnswerSource): Promise<Table> {
  const { orders } = connection;
  const all = await readAllPages(async (page) => {
    const request = { source: '', merchant: '', member: '', page, consistency: consistent(token) };
    const answer = await unary(orders, orders.listOrders, request, { signal });
    return { rows: answer.orders, next: answer.nextPageToken };
  });
  return new Map(
    all.map((o): [string, string] => {
      const { merchant, member, currency, status } = o;
      const [at, version, amount] = [o.occurredAt, o.sourceVersion, o.amountMinor];
      const [refunded, lines] = [o.refundedMinor, o.lineCount];
      const kind = kinds[o.kind];
      return [
        keyOf(o.source, o.externalId),
        rowOf({ kind, merchant, member, currency, status, at, version, amount, refunded, lines }),
      ];
    }),
  );
}

export async function windowsAnswered({ connection, token, signal }: AnswerSource): Promise<Table> {
  const { figures } = connection;
  const table: Table = new Map();
  for (const [name, length] of [
    ['HOUR', WindowLength.HOUR],
    ['DAY', WindowLength.DAY],
  ] as const) {
    const windows = await readAllPages(async (page) => {
      const bounds = { from: undefined, until: undefined };
      const request = { merchant: '', length, ...bounds, page, consistency: consistent(token) };
      const answer = await unary(figures, figures.listWindows, request, { signal });
      return { rows: answer.windows, next: answer.nextPageToken };
    });
    for (const w of windows)
      table.set(
        keyOf(w.merchant, w.currency, name, w.start),
        rowOf({
          orders: w.orders,
          orderLines: w.orderLines,
          returns: w.returns,
          returnLines: w.returnLines,
          adjustments: w.stockAdjustments,
          adjustmentLines: w.stockAdjustmentLines,
          sales: w.salesMinor,
          refunds: w.refundsMinor,
          unitsSold: w.unitsSold,
          unitsReturned: w.unitsReturned,
          earned: w.earnedMinor,
          rebatedLines: w.rebatedLines,
          clawed: w.clawedMinor,
          orphanLines: w.orphanLines,
          orphanUnits: w.orphanUnits,
        }),
      );
  }
  return table;
}

/** All boards of the merchants, for all time and the months given. A board out of order shows as a wrong score. */
export async function boardsAnswered(
  { connection, token, signal }: AnswerSource,
  merchants: readonly string[],
  months: readonly string[],
): Promise<Table> {
  const { figures } = connection;
  const table: Table = new Map();
  const boards = [
    ['MEMBERS', Board.MEMBERS_BY_REBATE],
    ['ITEMS', Board.ITEMS_BY_UNITS],
  ] as const;
  for (const merchant of merchants)
    for (const month of ['', ...months])
      for (const [name, board] of boards) {
        const request = { board, merchant, month, limit: 1_000, consistency: consistent(token) };
        const { rows } = await unary(figures, figures.getLeaderboard, request, { signal });
        rows.forEach((row, index) => {
          const before = rows[index - 1];
          const inOrder = row.rank === index + 1 && (!before || before.score >= row.score);
          const score = inOrder ? row.score : `${row.score} out of order at rank ${row.rank}`;
          table.set(keyOf(name, merchant, month, row.subject, row.currency), rowOf({ score }));
        });
      }
  return table;
}
