/**
 * Groups rows into invoices. An invoice whose rows come back later in the file — after rows of another invoice, or
 * with a later timestamp — has several runs: a shop would have reported it once for each.
 */
import type { OrderLine } from '../../gen/tallyback/order/v1/order_command_service.ts';
import type { Row } from './row.ts';

export interface Invoice {
  readonly id: string;
  readonly member: string;
  /** Of its first row. */
  readonly at: Date;
  /**
   * Quantities and prices without their sign. `orderedAt` is undefined where it is the invoice's own time: it need
   * not travel with every line.
   */
  readonly lines: OrderLine[];
  /** Of lines with a negative quantity: the description. */
  readonly notes: string[];
  runs: number;
  negativeQuantities: number;
  negativePrices: number;
  zeroQuantities: number;
  severalMembers: boolean;
}

/** A stretch of rows of one invoice. */
export interface Run {
  readonly invoice: Invoice;
  /** 1 for the invoice's first run. */
  readonly number: number;
  /** The invoice's rows so far, this run included. */
  rowsSoFar: number;
  /** Rows of this run. */
  rows: number;
  readonly at: Date;
}

const product = /^[0-9]{5}[A-Za-z]{0,2}$/;

/** Whether a stock code means goods, rather than postage, a fee or a correction. */
export const isProduct = (sku: string): boolean => product.test(sku);

export interface InvoiceBook {
  add(row: Row): void;
  /** All runs, in the order of the file. */
  readonly runs: readonly Run[];
}

export function invoiceBook(): InvoiceBook {
  const invoices = new Map<string, Invoice>();
  // Half a million rows speak of four thousand codes and two thousand prices: one text for each is enough.
  const texts = new Map<string, string>();
  const shared = (text: string): string => {
    const known = texts.get(text);
    if (known !== undefined) return known;
    texts.set(text, text);
    return text;
  };
  const runs: Run[] = [];
  let current: Run | undefined;

  const startRun = (row: Row): Run => {
    let invoice = invoices.get(row.invoice);
    if (!invoice) {
      invoice = {
        id: row.invoice,
        member: row.member,
        at: row.at,
        lines: [],
        notes: [],
        runs: 0,
        negativeQuantities: 0,
        negativePrices: 0,
        zeroQuantities: 0,
        severalMembers: false,
      };
      invoices.set(row.invoice, invoice);
    }
    invoice.runs += 1;
    const run = { invoice, number: invoice.runs, rowsSoFar: invoice.lines.length, rows: 0, at: row.at };
    runs.push(run);
    return run;
  };

  return {
    runs,
    add(row) {
      if (current?.invoice.id !== row.invoice || current.at.getTime() !== row.at.getTime())
        current = startRun(row);
      const { invoice } = current;
      addLine(invoice, { ...row, sku: shared(row.sku), price: shared(row.price) });
      current.rows += 1;
      current.rowsSoFar += 1;
    },
  };
}

function addLine(invoice: Invoice, row: Row): void {
  const goods = isProduct(row.sku);
  invoice.lines.push({
    lineNo: invoice.lines.length + 1,
    sku: row.sku,
    category: goods ? 'product' : 'other',
    quantity: BigInt(Math.abs(row.quantity)),
    unitPrice: row.price,
    orderedAt: row.at.getTime() === invoice.at.getTime() ? undefined : row.at,
    service: !goods,
  });
  if (row.quantity === 0) invoice.zeroQuantities += 1;
  if (row.priceNegative) invoice.negativePrices += 1;
  if (row.member !== invoice.member) invoice.severalMembers = true;
  if (row.quantity < 0) {
    invoice.negativeQuantities += 1;
    invoice.notes.push(row.description);
  }
}
