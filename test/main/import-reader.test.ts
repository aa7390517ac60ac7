import { brotliCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readFile } from '../../src/main/import/read-file.ts';
import { parseDate, type Row } from '../../src/main/import/row.ts';
import { fileText, header, rowText, temporaryFile } from './import-file.ts';

async function read(content: string | Uint8Array, name = 'rows.csv'): Promise<Row[]> {
  const rows: Row[] = [];
  const path = await temporaryFile(name, content);
  const count = await readFile({
    path,
    onRow: (row) => rows.push(row),
    signal: new AbortController().signal,
  });
  expect(count).toBe(rows.length);
  return rows;
}

describe('a good file', () => {
  it('is read row by row, prices as they are written', async () => {
    const rows = await read(fileText({ price: '0.001' }, { quantity: -3, price: '-11062.06', member: '' }));
    expect(rows).toMatchObject([
      {
        invoice: '536365',
        sku: '85123A',
        quantity: 6,
        price: '0.001',
        priceNegative: false,
        member: '17850',
      },
      { quantity: -3, price: '11062.06', priceNegative: true, member: '' },
    ]);
    expect(rows[0]?.at).toEqual(new Date('2010-12-01T08:26:00Z'));
  });

  it('may have LF line ends, a byte order mark and quoted fields', async () => {
    const text = `\uFEFF${header}\n${rowText({ description: '"RECORD 7"" FRAME, SMALL"' })}\n`;
    expect((await read(text))[0]?.description).toBe('RECORD 7" FRAME, SMALL');
  });

  it('may be compressed with Brotli', async () => {
    expect(await read(brotliCompressSync(fileText({}, {})), 'rows.csv.br')).toHaveLength(2);
  });

  it('may have ids and dates as data frames write them', async () => {
    expect(await read(fileText({ member: '17850.0', date: '2010-12-01 08:26:00' }))).toMatchObject([
      { member: '17850', at: new Date('2010-12-01T08:26:00Z') },
    ]);
  });
});

describe('a bad row is told by its line', () => {
  it.each([
    [{ quantity: '1.5' }, /line 3: Quantity "1\.5"/],
    [{ quantity: '1e5' }, /line 3: Quantity/],
    [{ price: '2,55' }, /line 3: 9 columns instead of 8/],
    [{ price: 'free' }, /line 3: UnitPrice "free"/],
    [{ price: '1.1234567' }, /line 3: UnitPrice/],
    [{ date: '2010-13-01T08:26:00Z' }, /line 3: InvoiceDate/],
    [{ date: '2011-02-30T08:26:00Z' }, /line 3: InvoiceDate/],
    [{ date: '2009-12-01T08:26:00Z' }, /line 3: InvoiceDate .* is earlier than the row before/],
    [{ member: 'abc' }, /line 3: CustomerID/],
    [{ invoice: '' }, /line 3: InvoiceNo/],
    [{ sku: '' }, /line 3: StockCode/],
  ])('%j', async (row, message) => {
    await expect(read(fileText({}, row, {}))).rejects.toThrow(message);
  });

  it('and all of them are', async () => {
    const rows = Array.from({ length: 30 }, () => ({ price: 'free' }));
    await expect(read(fileText({}, ...rows))).rejects.toThrow(
      /^30 bad rows:\nline 3: [^]*line 22: [^]*and 10 more/,
    );
  });
});

describe('refused as a whole', () => {
  const good = fileText({}, {}, {});
  it.each([
    ['an empty file', '', /empty/],
    ['no rows', `${header}\r\n`, /no rows/],
    ['another header', good.replace('UnitPrice', 'Price'), /header/],
    ['a file cut in the last column', good.slice(0, -8), /cut off/],
    ['a file cut earlier in the last row', good.slice(0, -25), /columns instead of 8|cut off/],
    ['a line end cut in two', good.slice(0, -1), /cut off|columns|Row/],
    ['an unclosed quote', good.replace('LANTERN', '"LANTERN'), /quote/],
    [
      'an unclosed quote in a long file',
      fileText({ description: '"LANTERN' }, ...Array.from({ length: 5_000 }, () => ({}))),
      /quote/,
    ],
  ])('%s', async (_, text, message) => {
    await expect(read(text)).rejects.toThrow(message);
  });

  it('compressed data that end too early', async () => {
    const whole = brotliCompressSync(
      fileText(...Array.from({ length: 500 }, (_, n) => ({ invoice: String(1e5 + n) }))),
    );
    await expect(read(whole.subarray(0, whole.length - 20), 'rows.csv.br')).rejects.toThrow(/cut off/);
  });

  it('data that are not Brotli', async () => {
    await expect(read(good, 'rows.csv.br')).rejects.toThrow(/not valid Brotli|cut off/);
  });

  it('a file that is not there', async () => {
    const options = {
      path: '/nowhere/rows.csv',
      onRow: () => undefined,
      signal: new AbortController().signal,
    };
    await expect(readFile(options)).rejects.toThrow(/no file/);
  });
});

it('parses dates exactly', () => {
  expect(parseDate('2010-12-01T08:26Z')).toEqual(new Date('2010-12-01T08:26:00Z'));
  expect(parseDate('1/12/2010 08:26')).toBeUndefined();
  expect(parseDate('2010-12-01T24:00:00Z')).toBeUndefined();
});
