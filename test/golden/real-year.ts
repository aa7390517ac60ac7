/** Where the real year and its right answer are, beside a checkout. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { parse } from 'csv-parse/sync';
import { figures, type Row, type Rules } from './oracle.ts';

const shared = join(import.meta.dirname, '../../../shared');

export const file = join(shared, 'data/online-retail/onlineretail.csv.br');
export const golden = join(shared, 'golden/online-retail-500bps-30d');
export const there = existsSync(file) && existsSync(golden);

/** The file as text. */
export const readText = (): string => brotliDecompressSync(readFileSync(file)).toString();

/** Rows that the runs take which are compared with the oracle rather than with the published files: `GOLDEN_ROWS`. */
export const sliceRows = Number(process.env['GOLDEN_ROWS'] ?? 120_000);

/** The first rows of the year, written to a file in that folder, and the oracle's figures for them. */
export function slice(
  folder: string,
  rules: Rules,
  rows = sliceRows,
): { readonly csv: string; readonly right: Readonly<Record<string, string>> } {
  const text = `${readText().split('\n').slice(0, rows + 1).join('\n').trimEnd()}\n`;
  const csv = join(folder, 'slice.csv');
  writeFileSync(csv, text);
  return { csv, right: figures(toRows(text), rules) };
}

export function toRows(csv: string): Row[] {
  const records: string[][] = parse(csv, { fromLine: 2 });
  return records.map(([invoice = '', sku = '', , quantity = '', at = '', price = '', customer = '']) => ({
    invoice,
    sku,
    quantity: BigInt(quantity),
    at,
    price,
    customer,
  }));
}

export const readRows = (): Row[] => toRows(readText());
