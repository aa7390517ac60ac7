import { expect, it } from 'vitest';
import { Balance } from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import { Window } from '../../src/gen/tallyback/figures/v1/figures_query_service.ts';
import { Stock } from '../../src/gen/tallyback/item/v1/item_query_service.ts';
import { balancesCsv, csv, daysCsv, hoursCsv, stockCsv } from '../../src/main/import/report.ts';

it('sorts by the first column, byte by byte, and ends with a line break', () => {
  expect(
    csv('a,b', [
      ['b', 1n],
      ['10123G', 2n],
      ['10123', 3n],
      ['é', 4n],
      ['B', 5n],
    ]),
  ).toBe('a,b\n10123,3\n10123G,2\nB,5\nb,1\né,4\n');
});

it('balances: available less debt, withdrawn with what is on its way, accounts without an entry left out', () => {
  const money = { currency: 'GBP', entryCount: 1n, accruedMinor: 100n, reversedMinor: 30n, pendingMinor: 5n };
  const rows = [
    Balance.fromPartial({
      ...money,
      member: '2',
      availableMinor: 0n,
      debtMinor: 7n,
      paidMinor: 40n,
      reservedMinor: 2n,
    }),
    Balance.fromPartial({ ...money, member: '10', availableMinor: 9n }),
    Balance.fromPartial({ ...money, member: '3', entryCount: 0n }),
    Balance.fromPartial({ ...money, member: '4', currency: 'EUR' }),
  ];
  expect(balancesCsv(rows)).toBe(
    'customer,earned,clawed,pending,available,withdrawn\n10,100,30,5,9,0\n2,100,30,5,-7,42\n',
  );
});

it('days: documents and rows of all kinds, summed over currencies', () => {
  const start = new Date('2010-12-01T00:00:00Z');
  const rows = [
    Window.fromPartial({
      start,
      currency: 'GBP',
      orders: 2n,
      orderLines: 9n,
      returns: 1n,
      returnLines: 1n,
      earnedMinor: 50n,
      clawedMinor: 4n,
    }),
    Window.fromPartial({ start, currency: '', stockAdjustments: 3n, stockAdjustmentLines: 3n }),
  ];
  expect(daysCsv(rows)).toBe('day,invoices,rows,earned,clawed\n2010-12-01,6,13,50,4\n');
});

it('hours: only those in which something could be earned', () => {
  const hour = (h: string, rebatedLines: bigint, earnedMinor: bigint) =>
    Window.fromPartial({ start: new Date(`2010-12-01T${h}:00:00Z`), rebatedLines, earnedMinor });
  expect(hoursCsv([hour('09', 1n, 0n), hour('08', 4n, 66n), hour('10', 0n, 0n)])).toBe(
    'hour,earned\n2010-12-01T08,66\n2010-12-01T09,0\n',
  );
});

it('stock: products only, as the sum of quantities', () => {
  const rows = [
    Stock.fromPartial({ sku: '22139', sold: 10n, takenBack: 3n, adjusted: -4n }),
    Stock.fromPartial({ sku: '10123G', adjusted: -38n }),
    Stock.fromPartial({ sku: 'POST', sold: 5n }),
  ];
  const text = stockCsv(rows);
  expect(text).toBe('stock_code,net_units_sold\n10123G,-38\n22139,3\n');
});
