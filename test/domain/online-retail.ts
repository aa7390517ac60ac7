/** The rows of the Online Retail file as the documents a shop would report, in the order of the file. */
import type { OrderCommand, ReportedLine } from '../../src/domain/order/index.ts';

export const MERCHANT = 'online-retail';
const SOURCE = 'online-retail';
const CURRENCY = 'GBP';

export interface Row {
  readonly invoice: string;
  readonly sku: string;
  readonly quantity: bigint;
  readonly at: Date;
  readonly price: string;
  readonly member: string;
}

/** A row of the file: InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country. */
export function toRow(cells: readonly string[]): Row {
  const [invoice = '', sku = '', , quantity = '', at = '', price = '', member = ''] = cells;
  return { invoice, sku, quantity: BigInt(quantity), at: new Date(at), price, member };
}

export const isProduct = (sku: string): boolean => /^[0-9]{5}[A-Za-z]{0,2}$/.test(sku);

type Kind = 'track' | 'report-return' | 'report-stock-adjustment';

/** One report: the rows of an invoice as far as they are known at its place in the file. */
export interface Document {
  readonly kind: Kind;
  readonly invoice: string;
  readonly at: Date;
  readonly member: string;
  readonly version: number;
  readonly rows: readonly Row[];
}

/** Consecutive rows of one invoice and one time. */
function* runsOf(rows: readonly Row[]): Generator<[Row, ...Row[]]> {
  let run: [Row, ...Row[]] | undefined;
  for (const row of rows) {
    if (run?.[0].invoice === row.invoice && run[0].at.getTime() === row.at.getTime()) {
      run.push(row);
      continue;
    }
    if (run !== undefined) yield run;
    run = [row];
  }
  if (run !== undefined) yield run;
}

/**
 * An order whose rows come back later is reported again, as a newer version with all rows so far. A return or
 * stock adjustment is reported once, with all of its rows, where its first row is.
 */
export function documentsOf(rows: readonly Row[]): Document[] {
  const documents: Document[] = [];
  const known = new Map<string, { readonly kind: Kind; readonly rows: Row[]; version: number }>();
  for (const run of runsOf(rows)) {
    const [{ invoice, at, member }] = run;
    let so = known.get(invoice);
    if (so !== undefined && so.kind !== 'track') {
      so.rows.push(...run);
      continue;
    }
    so ??= { kind: kindOf(run), rows: [], version: 0 };
    known.set(invoice, so);
    so.rows.push(...run);
    so.version++;
    const { kind, version } = so;
    documents.push({
      kind,
      invoice,
      at,
      member,
      version,
      rows: kind === 'track' ? [...so.rows] : so.rows,
    });
  }
  return documents;
}

function kindOf(run: readonly Row[]): Kind {
  const isReturn = (row: Row) =>
    row.invoice.startsWith('C') || (row.price.startsWith('-') && row.quantity > 0n);
  if (run.some(isReturn)) return 'report-return';
  return run.every((row) => row.quantity < 0n) ? 'report-stock-adjustment' : 'track';
}

export function toCommand({ kind, invoice, at, member, version, rows }: Document): OrderCommand {
  const document = { source: SOURCE, externalId: invoice, at, merchant: MERCHANT };
  switch (kind) {
    case 'track':
    case 'report-return': {
      const sale = { ...document, member, currency: CURRENCY, lines: rows.map(toLine) };
      return kind === 'track' ? { kind, ...sale, sourceVersion: BigInt(version) } : { kind, ...sale };
    }
    case 'report-stock-adjustment':
      return {
        kind,
        ...document,
        lines: rows.map(({ sku, quantity }, i) => ({ lineNo: i + 1, sku, delta: quantity, reason: '' })),
      };
  }
}

function toLine(row: Row, index: number): ReportedLine {
  const product = isProduct(row.sku);
  return {
    lineNo: index + 1,
    sku: row.sku,
    category: product ? 'product' : 'other',
    quantity: row.quantity < 0n ? -row.quantity : row.quantity,
    unitPrice: row.price.replace('-', ''),
    orderedAt: row.at,
    service: !product,
  };
}
