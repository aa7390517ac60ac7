/** Where the real year and its right answer are, beside a checkout. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { parse } from 'csv-parse/sync';
import type { Row } from './oracle.ts';

const shared = join(import.meta.dirname, '../../../shared');

export const file = join(shared, 'data/online-retail/onlineretail.csv.br');
export const golden = join(shared, 'golden/online-retail-500bps-30d');
export const there = existsSync(file) && existsSync(golden);

/** The file as text. */
export const readText = (): string => brotliDecompressSync(readFileSync(file)).toString();

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
