/**
 * A real year of a shop (542,000 rows) through the pure domain, against the balances that an independent
 * program in another language computed: see RULES.md beside them. The data are not part of the repository.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';
import { parse } from 'csv-parse/sync';
import { expect, test } from 'vitest';
import { EntryExplainer, type RebateEvent, rebateEventTypes } from '../../src/domain/account/index.ts';
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

/** Every rebate of every account, explained as it goes. */
class Explained {
  readonly #accounts = new Map<string, Map<string, EntryExplainer>>();

  take(stream: string, event: DomainEvent): void {
    for (const entryId of entriesIn(event)) {
      const entries = this.#accounts.get(stream) ?? new Map<string, EntryExplainer>();
      const explainer = entries.get(entryId) ?? new EntryExplainer(entryId, CURRENCY);
      this.#accounts.set(stream, entries.set(entryId, explainer));
      if (isRebateEvent(event)) explainer.take(event);
    }
  }

  sums(stream: string) {
    const sums = { accrued: 0n, reversed: 0n, pending: 0n };
    for (const explainer of this.#accounts.get(stream)?.values() ?? []) {
      const { accruedMinor = 0n, reversedMinor = 0n, pendingMinor = 0n } = explainer.result() ?? {};
      sums.accrued += accruedMinor;
      sums.reversed += reversedMinor;
      sums.pending += pendingMinor;
    }
    return sums;
  }
}

const isRebateEvent = (event: DomainEvent): event is RebateEvent =>
  rebateEventTypes.some((type) => type === event.type);

function entriesIn(event: DomainEvent): ReadonlySet<string> {
  switch (event.type) {
    case 'RebateAccrued':
    case 'RebateReversed':
    case 'RebateConfirmed':
      return new Set([event.data.entryId]);
    case 'RebateReleased':
      return new Set(event.data.entries.map(({ entryId }) => entryId));
    case 'ReturnTaken':
      return new Set(event.data.lines.flatMap(({ matched }) => matched.map(({ entryId }) => entryId)));
    default:
      return new Set();
  }
}

test.runIf(isHere)(
  'a real year ends in the balances and stock that an independent program computed, and every rebate is explained',
  { timeout: 240_000 },
  () => {
    const csv = brotliDecompressSync(readFileSync(ROWS));
    const rows = parse(csv, { from_line: 2 }).map(toRow);
    const house = new House();
    const sold = new SoldUnits();
    const explained = new Explained();
    house.onEvent = (stream, event) => {
      sold.count(event);
      explained.take(stream, event);
    };
    const members = replay(house, rows);
    const balances = [...members]
      .map((member) => lineOf(house, member))
      .filter((line) => line !== undefined)
      .toSorted();
    const golden = readFileSync(`${GOLDEN}balances.csv`, 'utf8').trimEnd().split('\n').slice(1);
    expect(balances).toEqual(golden.toSorted());

    const stock = readFileSync(`${GOLDEN}stock.csv`, 'utf8').trimEnd().split('\n').slice(1);
    expect(sold.lines()).toEqual(stock.toSorted());

    for (const [stream, { balance }] of house.accounts) {
      const { accrued, reversed, pending } = balance;
      expect(explained.sums(stream), stream).toEqual({ accrued, reversed, pending });
    }
  },
);

test.skipIf(isHere)('the real year is not on this machine: nothing to compare', () => {
  expect(isHere).toBe(false);
});
