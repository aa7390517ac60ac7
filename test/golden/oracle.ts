/**
 * The figures by another way: the rules as published (golden RULES.md), row by row over the file, in one pass,
 * without events, orders, policies or anything else of src/. What it gives for the published rule set must equal
 * the published files; what it gives for any other is what the import must give.
 */

export interface Row {
  readonly invoice: string;
  readonly sku: string;
  readonly quantity: bigint;
  /** As in the file: "2010-12-01T08:26:00Z". */
  readonly at: string;
  readonly price: string;
  readonly customer: string;
}

export interface Rules {
  readonly bps: bigint;
  readonly holdDays: number;
  /** Pence; undefined: nobody withdraws. */
  readonly withdrawMonthly: bigint | undefined;
}

interface Line {
  readonly priceMilli: bigint;
  readonly dueAt: number;
  kept: bigint;
  rebate: bigint;
  matured: boolean;
}

interface Customer {
  readonly bySku: Map<string, Line[]>;
  /** Not matured, in order of time. */
  waiting: Line[];
  earned: bigint;
  clawed: bigint;
  pending: bigint;
  available: bigint;
  withdrawn: bigint;
}

const isProduct = (sku: string): boolean => /^[0-9]{5}[A-Za-z]{0,2}$/.test(sku);

/** Thousandths of a pound. */
function milli(price: string): bigint {
  const [whole = '0', part = ''] = price.split('.');
  return BigInt(whole) * 1_000n + BigInt(part.padEnd(3, '0'));
}

/** quantity × price in pence, round half to even. */
function pence(priceMilli: bigint, quantity: bigint): bigint {
  const tenths = priceMilli * quantity;
  const [floor, rest] = [tenths / 10n, tenths % 10n];
  return rest > 5n || (rest === 5n && floor % 2n === 1n) ? floor + 1n : floor;
}

export function figures(rows: readonly Row[], rules: Rules): Readonly<Record<string, string>> {
  const customers = new Map<string, Customer>();
  const days = new Map<string, { invoices: number; rows: number; earned: bigint; clawed: bigint }>();
  const hours = new Map<string, bigint>();
  const stock = new Map<string, bigint>();
  const invoices = new Set<string>();
  const rebateOf = (line: { priceMilli: bigint }, kept: bigint): bigint => (pence(line.priceMilli, kept) * rules.bps) / 10_000n;

  const mature = (customer: Customer, clock: number): void => {
    let n = 0;
    for (const line of customer.waiting) {
      if (line.dueAt > clock) break;
      line.matured = true;
      customer.pending -= line.rebate;
      customer.available += line.rebate;
      n++;
    }
    customer.waiting = customer.waiting.slice(n);
  };

  const withdraw = (clock: number): void => {
    for (const customer of customers.values()) {
      mature(customer, clock);
      if (rules.withdrawMonthly === undefined || customer.available < rules.withdrawMonthly) continue;
      customer.withdrawn += customer.available;
      customer.available = 0n;
    }
  };

  const claw = (customer: Customer, line: Line, quantity: bigint): bigint => {
    const rebate = rebateOf(line, line.kept - quantity);
    const taken = line.rebate - rebate;
    line.kept -= quantity;
    line.rebate = rebate;
    if (line.matured) customer.available -= taken;
    else customer.pending -= taken;
    customer.clawed += taken;
    return taken;
  };

  let month = rows[0]?.at.slice(0, 7);
  for (const row of rows) {
    const clock = Date.parse(row.at);
    while (month !== undefined && month < row.at.slice(0, 7)) {
      const next = new Date(`${month}-01T00:00:00Z`);
      next.setUTCMonth(next.getUTCMonth() + 1);
      withdraw(next.getTime());
      month = next.toISOString().slice(0, 7);
    }
    const day = days.get(row.at.slice(0, 10)) ?? { invoices: 0, rows: 0, earned: 0n, clawed: 0n };
    days.set(row.at.slice(0, 10), day);
    day.rows++;
    if (!invoices.has(row.invoice)) day.invoices++;
    invoices.add(row.invoice);
    if (!isProduct(row.sku)) continue;
    stock.set(row.sku, (stock.get(row.sku) ?? 0n) + row.quantity);
    if (row.customer === '' || row.price.startsWith('-')) continue;
    const priceMilli = milli(row.price);

    if (row.invoice.startsWith('C')) {
      const customer = customers.get(row.customer);
      if (!customer) continue;
      mature(customer, clock);
      const lines = customer.bySku.get(row.sku)?.toReversed() ?? [];
      let left = -row.quantity;
      for (const line of [...lines.filter((l) => l.priceMilli === priceMilli), ...lines]) {
        const quantity = left < line.kept ? left : line.kept;
        if (quantity <= 0n) continue;
        day.clawed += claw(customer, line, quantity);
        left -= quantity;
      }
      continue;
    }
    if (row.quantity <= 0n || priceMilli <= 0n) continue;
    const customer = customers.get(row.customer) ?? {
      bySku: new Map<string, Line[]>(),
      waiting: [],
      earned: 0n,
      clawed: 0n,
      pending: 0n,
      available: 0n,
      withdrawn: 0n,
    };
    customers.set(row.customer, customer);
    const rebate = rebateOf({ priceMilli }, row.quantity);
    const line: Line = { priceMilli, dueAt: clock + rules.holdDays * 86_400_000, kept: row.quantity, rebate, matured: false };
    customer.bySku.set(row.sku, [...(customer.bySku.get(row.sku) ?? []), line]);
    customer.waiting.push(line);
    customer.earned += rebate;
    customer.pending += rebate;
    day.earned += rebate;
    const hour = row.at.slice(0, 13);
    hours.set(hour, (hours.get(hour) ?? 0n) + rebate);
  }
  const end = Date.parse(rows.at(-1)?.at ?? '');
  for (const customer of customers.values()) mature(customer, end);

  const file = (header: string, lines: readonly string[]): string => `${[header, ...lines].join('\n')}\n`;
  const sorted = <V>(map: ReadonlyMap<string, V>): [string, V][] => [...map].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return {
    'balances.csv': file(
      'customer,earned,clawed,pending,available,withdrawn',
      sorted(customers).map(([id, c]) => [id, c.earned, c.clawed, c.pending, c.available, c.withdrawn].join(',')),
    ),
    'days.csv': file('day,invoices,rows,earned,clawed', sorted(days).map(([id, d]) => [id, d.invoices, d.rows, d.earned, d.clawed].join(','))),
    'hours.csv': file('hour,earned', sorted(hours).map(([id, earned]) => `${id},${earned}`)),
    'stock.csv': file('stock_code,net_units_sold', sorted(stock).map(([id, units]) => `${id},${units}`)),
  };
}
