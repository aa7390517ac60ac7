/** The figures of an import as CSV files, read back through the query API only. */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Connection } from '../client/connect.ts';
import { readAllPages } from '../client/paging.ts';
import { unary } from '../client/unary.ts';
import type { Balance } from '../../gen/tallyback/account/v1/account_query_service.ts';
import type { ReadConsistency } from '../../gen/tallyback/common/v1/consistency.ts';
import { type Window, WindowLength } from '../../gen/tallyback/figures/v1/figures_query_service.ts';
import type { Stock } from '../../gen/tallyback/item/v1/item_query_service.ts';
import { currency, source } from './ids.ts';
import { isProduct } from './invoices.ts';

type Cells = readonly [key: string, ...values: (string | bigint)[]];

/** Sorted by the first column, byte by byte. */
export function csv(header: string, rows: readonly Cells[]): string {
  const sorted = rows.toSorted((a, b) => Buffer.compare(Buffer.from(a[0]), Buffer.from(b[0])));
  return [header, ...sorted.map((cells) => cells.join(','))].map((line) => `${line}\n`).join('');
}

export function balancesCsv(balances: readonly Balance[]): string {
  const rows = balances
    .filter((balance) => balance.currency === currency && balance.entryCount > 0n)
    .map((b): Cells => {
      const available = b.availableMinor - b.debtMinor;
      const withdrawn = b.paidMinor + b.reservedMinor;
      return [b.member, b.accruedMinor, b.reversedMinor, b.pendingMinor, available, withdrawn];
    });
  return csv('customer,earned,clawed,pending,available,withdrawn', rows);
}

/** Windows of one day, in one row whatever their currency (stock adjustments have none). */
export function daysCsv(days: readonly Window[]): string {
  const byDay = new Map<string, [invoices: bigint, rows: bigint, earned: bigint, clawed: bigint]>();
  for (const w of days) {
    const day = w.start?.toISOString().slice(0, 10) ?? '';
    const [invoices, rows, earned, clawed] = byDay.get(day) ?? [0n, 0n, 0n, 0n];
    byDay.set(day, [
      invoices + w.orders + w.returns + w.stockAdjustments,
      rows + w.orderLines + w.returnLines + w.stockAdjustmentLines,
      earned + w.earnedMinor,
      clawed + w.clawedMinor,
    ]);
  }
  const rows = [...byDay].map(([day, sums]): Cells => [day, ...sums]);
  return csv('day,invoices,rows,earned,clawed', rows);
}

export function hoursCsv(hours: readonly Window[]): string {
  const rows = hours
    .filter((w) => w.rebatedLines > 0n)
    .map((w): Cells => [w.start?.toISOString().slice(0, 13) ?? '', w.earnedMinor]);
  return csv('hour,earned', rows);
}

export function stockCsv(stock: readonly Stock[]): string {
  // As the sum of the file's quantities: cancellations and units written off are negative there.
  const rows = stock
    .filter((s) => isProduct(s.sku))
    .map((s): Cells => [s.sku, s.sold - s.takenBack + s.adjusted]);
  return csv('stock_code,net_units_sold', rows);
}

export interface ReportSource {
  readonly connection: Connection;
  readonly consistency: ReadConsistency;
  readonly signal: AbortSignal;
}

export function readWindows(
  { connection, consistency, signal }: ReportSource,
  length: WindowLength,
): Promise<Window[]> {
  const { figures } = connection;
  return readAllPages(async (page) => {
    const request = { merchant: source, length, from: undefined, until: undefined, page, consistency };
    const answer = await unary(figures, figures.listWindows, request, { signal });
    return { rows: answer.windows, next: answer.nextPageToken };
  });
}

async function write(folder: string, name: string, text: string): Promise<void> {
  const path = join(folder, name);
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, text, { flush: true });
  await rename(temporary, path);
}

export async function writeReport(from: ReportSource, folder: string): Promise<void> {
  const { connection, consistency, signal } = from;
  const { accounts, items } = connection;
  const balances = await readAllPages(async (page) => {
    const answer = await unary(accounts, accounts.listBalances, { page, consistency }, { signal });
    return { rows: answer.balances, next: answer.nextPageToken };
  });
  const stock = await readAllPages(async (page) => {
    const answer = await unary(items, items.listStock, { merchant: source, page, consistency }, { signal });
    return { rows: answer.stock, next: answer.nextPageToken };
  });
  await mkdir(folder, { recursive: true });
  await write(folder, 'balances.csv', balancesCsv(balances));
  await write(folder, 'days.csv', daysCsv(await readWindows(from, WindowLength.DAY)));
  await write(folder, 'hours.csv', hoursCsv(await readWindows(from, WindowLength.HOUR)));
  await write(folder, 'stock.csv', stockCsv(stock));
}
