/** Small Online Retail files for tests. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { invoiceBook, type Run } from '../../src/main/import/invoices.ts';
import { readFile } from '../../src/main/import/read-file.ts';

export const header = 'InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country';

export interface RowText {
  invoice?: string;
  sku?: string;
  description?: string;
  quantity?: number | string;
  date?: string;
  price?: string;
  member?: string;
}

export const rowText = (row: RowText = {}): string =>
  [
    row.invoice ?? '536365',
    row.sku ?? '85123A',
    row.description ?? 'LANTERN',
    row.quantity ?? 6,
    row.date ?? '2010-12-01T08:26:00Z',
    row.price ?? '2.55',
    row.member ?? '17850',
    'United Kingdom',
  ].join(',');

export const fileText = (...rows: readonly RowText[]): string =>
  [header, ...rows.map(rowText)].map((line) => `${line}\r\n`).join('');

/** Path of a file that goes away with the test. */
export async function temporaryFile(name: string, content: string | Uint8Array): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tallyback-import-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

export async function runsOf(...rows: readonly RowText[]): Promise<readonly Run[]> {
  const book = invoiceBook();
  const path = await temporaryFile('rows.csv', fileText(...rows));
  await readFile({ path, onRow: (row) => book.add(row), signal: new AbortController().signal });
  return book.runs;
}
