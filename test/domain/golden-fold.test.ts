/**
 * A real year of a shop (542,000 rows) through the pure domain, against the balances that an independent
 * program in another language computed: see RULES.md beside them. The data are not part of the repository.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';
import { parse } from 'csv-parse/sync';
import { expect, test } from 'vitest';
import type { DomainEvent } from '../../src/domain/events.ts';
import { accountStream } from '../../src/domain/streams.ts';
import type { StockLevel } from '../../src/gen/tallyback/events/v1/item.ts';
import { ReleaseOn } from '../../src/gen/tallyback/events/v1/programme.ts';
import { House } from './house.ts';
import { documentsOf, isProduct, MERCHANT, toCommand, toRow, type Row } from './online-retail.ts';

const SHARED = fileURLToPath(new URL('../../../shared/', import.meta.url));
const ROWS = `${SHARED}data/online-retail/onlineretail.csv.br`;
const GOLDEN = `${SHARED}golden/online-retail-500bps-30d/`;
const isHere = existsSync(ROWS) && existsSync(GOLDEN);

const CURRENCY = 'GBP';
const MINIMUM_WITHDRAWAL = 1000n;

/** The first of every month after the one time and up to the other, 00:00 UTC. */
function* monthStarts(after: Date, upTo: Date): Generator<Date> {
  for (let month = after.getUTCMonth() + 1; ; month++) {
    const start = new Date(Date.UTC(after.getUTCFullYear(), month, 1));
    if (start > upTo) return;
    yield start;
  }
}

function withdrawAll(house: House, members: Iterable<string>, at: Date): void {
  for (const member of members) {
    const withdrawalId = `${member}@${at.toISOString()}`;
    const of = { member, currency: CURRENCY, at, withdrawalId };
    const requested = house.account({
      kind: 'request-withdrawal',
      ...of,
      amountMinor: undefined,
      minimumMinor: MINIMUM_WITHDRAWAL,
    });
    if (requested.kind === 'accepted') house.account({ kind: 'settle-withdrawal', ...of });
  }
}

function replay(house: House, rows: readonly Row[]): ReadonlySet<string> {
  const members = new Set<string>();
  const first = rows[0]?.at ?? new Date(0);
  const last = rows.at(-1)?.at ?? first;
  house.programme({
    kind: 'publish-rule-set',
    merchant: MERCHANT,
    at: first,
    version: 1,
    validFrom: new Date(0),
    validUntil: undefined,
    priority: 0,
    rules: [{ ruleId: 'products', categories: ['product'], skus: [], excludedSkus: [], rateBps: 500 }],
    holdDays: 30,
    releaseOn: ReleaseOn.TRACKED,
  });
  const months = monthStarts(first, last);
  let month = months.next();
  for (const document of documentsOf(rows)) {
    for (; month.done !== true && month.value <= document.at; month = months.next()) {
      withdrawAll(house, members, month.value);
    }
    const decision = house.order(toCommand(document));
    if (decision.kind === 'refused') throw new Error(`${document.invoice}: ${decision.refusal.message}`);
    if (document.member !== '') members.add(document.member);
  }
  for (const member of members) house.account({ kind: 'release-due', member, currency: CURRENCY, at: last });
  return members;
}

const lineOf = (house: House, member: string): string | undefined => {
  const account = house.accounts.get(accountStream(member, CURRENCY));
  if (account === undefined || account.entries.size === 0) return undefined;
  const { accrued, reversed, pending, available, debt, paid } = account.balance;
  return [member, accrued, reversed, pending, available - debt, paid].join(',');
};

/** The golden file counts rows: what was written off is negative there, as is what came back. */
class SoldUnits {
  readonly #units = new Map<string, bigint>();

  count(event: DomainEvent): void {
    if (event.type === 'StockSold') this.#add(event.data.level, event.data.quantity);
    if (event.type === 'StockTakenBack') this.#add(event.data.level, -event.data.quantity);
    if (event.type === 'StockAdjusted') this.#add(event.data.level, event.data.delta);
  }

  lines(): string[] {
    return [...this.#units].map(([sku, units]) => `${sku},${units}`).toSorted();
  }

  #add(level: StockLevel | undefined, units: bigint): void {
    if (level !== undefined && isProduct(level.sku)) {
      this.#units.set(level.sku, (this.#units.get(level.sku) ?? 0n) + units);
    }
  }
}

test.runIf(isHere)(
  'a real year ends in the balances and stock that an independent program computed',
  { timeout: 120_000 },
  () => {
    const csv = brotliDecompressSync(readFileSync(ROWS));
    const rows = parse(csv, { from_line: 2 }).map(toRow);
    const house = new House();
    const sold = new SoldUnits();
    house.onEvent = (_stream, event) => sold.count(event);
    const members = replay(house, rows);
    const balances = [...members]
      .map((member) => lineOf(house, member))
      .filter((line) => line !== undefined)
      .toSorted();
    const golden = readFileSync(`${GOLDEN}balances.csv`, 'utf8').trimEnd().split('\n').slice(1);
    expect(balances).toEqual(golden.toSorted());

    const stock = readFileSync(`${GOLDEN}stock.csv`, 'utf8').trimEnd().split('\n').slice(1);
    expect(sold.lines()).toEqual(stock.toSorted());
  },
);

test.skipIf(isHere)('the real year is not on this machine: nothing to compare', () => {
  expect(isHere).toBe(false);
});
