/** A made-up file in the form of the Online Retail data: small, and with all that makes the real one hard. */
import type { Row } from '../golden/oracle.ts';
import { chance } from './chance.ts';

const header = 'InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country';

export function shopRows(invoices: number, seed: number): Row[] {
  const random = chance(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const rows: Row[] = [];
  const start = Date.UTC(2010, 11, 1, 8);
  for (let n = 0; n < invoices; n++) {
    // About four months in all.
    const time = start + Math.floor((n / invoices) * 120) * 86_400_000 + below(40) * 900_000;
    const at = (minutes: number): string =>
      new Date(time + minutes * 60_000).toISOString().replace('.000Z', 'Z');
    const customer = random() < 0.8 ? `${12_000 + below(40)}` : '';
    const sku = (): string =>
      random() < 0.05 ? 'POST' : `${20_000 + below(60)}${random() < 0.2 ? 'A' : ''}`;
    const price = (): string => ['2.55', '0.85', '12.75', '0.001', '0', '4.25', '100'][below(7)] ?? '1';
    const kind = random();
    const lines = 1 + below(8);
    for (let line = 0; line < lines; line++) {
      const common = { invoice: `${536_000 + n}`, sku: sku(), customer, at: at(0) };
      if (kind < 0.15) {
        rows.push({
          ...common,
          invoice: `C${common.invoice}`,
          quantity: BigInt(-1 - below(6)),
          price: '2.55',
        });
      } else if (kind < 0.2) {
        rows.push({ ...common, customer: '', quantity: BigInt(-1 - below(20)), price: '0' });
      } else {
        // Now and then the second half of an invoice comes a minute later.
        const late = kind > 0.95 && line > lines / 2;
        rows.push({ ...common, quantity: BigInt(1 + below(12)), price: price(), at: at(late ? 1 : 0) });
      }
    }
  }
  return rows.toSorted((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
}

export const shopFile = (rows: readonly Row[]): string =>
  [
    header,
    ...rows.map((row) =>
      [
        row.invoice,
        row.sku,
        '"A ""THING"", BLUE"',
        row.quantity,
        row.at,
        row.price,
        row.customer,
        'France',
      ].join(','),
    ),
    '',
  ].join('\n');
