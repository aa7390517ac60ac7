/**
 * Which document a run of rows is, and the record that reports it.
 *
 *   "C…"                                  a return that names no order
 *   all quantities negative               stock written off (or found, were they not negative)
 *   all prices negative                   a return: the money goes back
 *   all quantities and prices positive    an order; its later runs amend it
 *   anything else                         refused here: it would have to be guessed
 *
 * A return or adjustment is one document with all its rows, at its first row.
 */
import type { IngestRecord } from '../client/ingest-session.ts';
import { currency, documentRequestId, source } from './ids.ts';
import type { Invoice, Run } from './invoices.ts';

export type DocumentStep =
  | { readonly kind: 'record'; readonly record: IngestRecord; readonly member: string }
  /** Not sent; `reason` is UPPER_SNAKE. */
  | { readonly kind: 'refused'; readonly reason: string; readonly message: string; readonly rows: number }
  /** The rows were part of a document reported before. */
  | { readonly kind: 'covered' };

/** As the contract has it: an event must fit in one megabyte on every store. */
const mostLines = 4_000;
const longestReason = 500;

type InvoiceKind = 'order' | 'return' | 'adjustment' | { readonly reason: string; readonly message: string };

function kindOf(invoice: Invoice): InvoiceKind {
  const { id, lines, negativeQuantities, negativePrices } = invoice;
  const refused = (reason: string, message: string) => ({ reason, message: `invoice ${id}: ${message}` });
  const all = lines.length;
  if (all > mostLines) return refused('TOO_MANY_LINES', `${all} lines; at most ${mostLines} are possible`);
  if (invoice.severalMembers) return refused('MEMBER_CHANGES', 'its rows name different customers');
  if (invoice.zeroQuantities > 0) return refused('ZERO_QUANTITY', 'a row has quantity 0');
  if (negativeQuantities > 0 && negativePrices > 0)
    return refused('MIXED_SIGNS', 'negative quantities and negative prices');
  if (id.startsWith('C') || id.startsWith('c')) {
    if (negativeQuantities === all) return 'return';
    return refused('MIXED_SIGNS', 'a cancellation with positive quantities');
  }
  if (negativeQuantities === all) return 'adjustment';
  if (negativeQuantities > 0) return refused('MIXED_SIGNS', 'positive and negative quantities');
  if (negativePrices === all) return 'return';
  if (negativePrices > 0) return refused('MIXED_SIGNS', 'positive and negative prices');
  return 'order';
}

export function documentOf(run: Run): DocumentStep {
  const { invoice, number } = run;
  const kind = kindOf(invoice);
  if (typeof kind === 'object')
    return number === 1 ? { kind: 'refused', ...kind, rows: invoice.lines.length } : { kind: 'covered' };
  if (kind === 'order') return order(run);
  if (number > 1) return { kind: 'covered' };
  return kind === 'return' ? returned(invoice) : adjustment(invoice);
}

function head(invoice: Invoice, version: number) {
  const { id } = invoice;
  return { requestId: documentRequestId(id, version), source, externalId: id, merchant: source };
}

function order({ invoice, number, rowsSoFar, at }: Run): DocumentStep {
  const { member } = invoice;
  const soFar = rowsSoFar === invoice.lines.length ? invoice.lines : invoice.lines.slice(0, rowsSoFar);
  // Lines of the first run go by the document's time, and that is now a later one.
  const lines =
    number === 1 ? soFar : soFar.map((line) => ({ ...line, orderedAt: line.orderedAt ?? invoice.at }));
  return {
    kind: 'record',
    member,
    record: {
      $case: 'trackOrder',
      value: {
        ...head(invoice, number),
        occurredAt: at,
        member,
        currency,
        sourceVersion: BigInt(number),
        lines,
      },
    },
  };
}

function returned(invoice: Invoice): DocumentStep {
  const { member, lines, at } = invoice;
  return {
    kind: 'record',
    member,
    record: {
      $case: 'reportReturn',
      value: { ...head(invoice, 1), occurredAt: at, member, currency, lines },
    },
  };
}

function adjustment(invoice: Invoice): DocumentStep {
  const lines = invoice.lines.map(({ lineNo, sku, quantity }, index) => {
    const note = invoice.notes[index]?.replaceAll('\0', '').slice(0, longestReason);
    return { lineNo, sku, delta: -quantity, reason: note || 'stock correction' };
  });
  return {
    kind: 'record',
    member: '',
    record: { $case: 'reportStockAdjustment', value: { ...head(invoice, 1), occurredAt: invoice.at, lines } },
  };
}
