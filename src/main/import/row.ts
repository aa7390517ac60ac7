/** One row of an Online Retail file, checked field by field. */

export const columns = [
  'InvoiceNo',
  'StockCode',
  'Description',
  'Quantity',
  'InvoiceDate',
  'UnitPrice',
  'CustomerID',
  'Country',
] as const;

export interface Row {
  readonly invoice: string;
  readonly sku: string;
  readonly description: string;
  /** Signed, at most nine digits. */
  readonly quantity: number;
  readonly at: Date;
  /** Decimal text without sign, just as in the file. */
  readonly price: string;
  readonly priceNegative: boolean;
  /** Empty: nobody in particular. */
  readonly member: string;
}

export type RowCheck =
  { readonly kind: 'row'; readonly row: Row } | { readonly kind: 'bad'; readonly why: string };

const invoicePattern = /^[A-Za-z]?[0-9]{1,18}$/;
// What the contract allows for a SKU: no control characters.
// oxlint-disable-next-line no-control-regex
const skuPattern = /^[^\x00-\x1f\x7f]{1,128}$/;
const quantityPattern = /^-?[0-9]{1,9}$/;
const pricePattern = /^(-?)([0-9]{1,12}(?:[.][0-9]{1,6})?)$/;
// Tables exported from a data frame have ids as "17850.0".
const memberPattern = /^([0-9]{0,18})(?:[.]0)?$/;
const datePattern = /^(19[7-9]\d|2\d{3})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d))?Z?$/;

/** The time a text like "2010-12-01T08:26:00Z" (or without T, seconds or Z) means, in UTC. */
export function parseDate(text: string): Date | undefined {
  const match = datePattern.exec(text);
  if (!match) return undefined;
  const [, year, month, day, hour, minute, second = '00'] = match;
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const date = new Date(iso);
  // "2011-02-30" would become a day in March.
  return !Number.isNaN(date.getTime()) && date.toISOString() === iso ? date : undefined;
}

const bad = (why: string): RowCheck => ({ kind: 'bad', why });

const wrong = (index: number, value: string, expected: string): RowCheck =>
  bad(`${columns[index] ?? ''} ${JSON.stringify(value.slice(0, 40))} is not ${expected}`);

/** Checks rows. Neighbouring rows mostly have the same date: it is parsed once, and the Date is shared. */
export function rowChecker(): (fields: readonly string[]) => RowCheck {
  let lastDateText = '';
  let lastDate: Date | undefined;

  return (fields) => {
    const [invoice, sku, description, quantityText, dateText, priceText, memberText] = fields;
    if (
      fields.length !== columns.length ||
      invoice === undefined ||
      sku === undefined ||
      description === undefined ||
      quantityText === undefined ||
      dateText === undefined ||
      priceText === undefined ||
      memberText === undefined
    )
      return bad(`${fields.length} columns instead of ${columns.length}`);
    if (!invoicePattern.test(invoice)) return wrong(0, invoice, 'an invoice number');
    if (!skuPattern.test(sku)) return wrong(1, sku, 'a stock code');
    if (!quantityPattern.test(quantityText))
      return wrong(3, quantityText, 'a whole number of at most 9 digits');
    if (dateText !== lastDateText) {
      const date = parseDate(dateText);
      if (!date) return wrong(4, dateText, 'a date like 2010-12-01T08:26:00Z');
      if (lastDate && date < lastDate) return bad(`InvoiceDate ${dateText} is earlier than the row before`);
      lastDateText = dateText;
      lastDate = date;
    }
    const price = pricePattern.exec(priceText);
    if (!price) return wrong(5, priceText, 'a price with at most 12 digits and 6 decimals');
    const member = memberPattern.exec(memberText);
    if (!member) return wrong(6, memberText, 'a customer number');
    const amount = price[2] ?? '';
    return {
      kind: 'row',
      row: {
        invoice,
        sku,
        description,
        quantity: Number(quantityText),
        at: lastDate ?? new Date(0),
        price: amount,
        priceNegative: price[1] === '-' && /[1-9]/.test(amount),
        member: member[1] ?? '',
      },
    };
  };
}
