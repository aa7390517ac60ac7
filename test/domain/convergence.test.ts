/** Whatever the order in which an order's reports arrive, and however often: the same order, the same money. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { OrderCommand } from '../../src/domain/order/index.ts';
import { statusOf } from '../../src/domain/order/index.ts';
import { accountStream, orderStream } from '../../src/domain/streams.ts';
import { ReleaseOn } from '../../src/gen/tallyback/events/v1/programme.ts';
import { House } from './house.ts';
import { arrivals } from './order-reports.ts';
import { day, publish, releaseDue, rule, takeReturn, withdraw } from './samples.ts';

const rules = [
  rule({ ruleId: 'luxury', categories: ['luxury'], rateBps: 1000 }),
  rule({ ruleId: 'products' }),
];

function after(reports: readonly OrderCommand[], releaseOn: ReleaseOn, holdDays: number): House {
  const house = new House();
  house.programme(publish({ releaseOn, holdDays, rules, validUntil: day(2) }));
  house.programme(publish({ releaseOn, holdDays: holdDays + 7, rules, validFrom: day(2) }));
  for (const report of reports) expect(house.order(report).kind).toBe('accepted');
  return house;
}

function orderIn(house: House) {
  const state = house.orders.get(orderStream('web', 'A1'));
  if (state === undefined) return undefined;
  const lines = [...(state.tracked?.lines.values() ?? [])].toSorted((a, b) => a.line.lineNo - b.line.lineNo);
  return {
    header: state.tracked?.header,
    version: state.tracked?.sourceVersion,
    status: statusOf(state),
    statusVersion: state.lastStatus?.data.sourceVersion,
    lines,
  };
}

/** What the account owes for what; how it came to it (sums over its life, indexes) differs. */
function accountIn(house: House) {
  const state = house.accounts.get(accountStream('ann', 'GBP'));
  const balance = state?.balance;
  const entries = [...(state?.entries.values() ?? [])];
  const counting = entries.flatMap((entry) =>
    [...entry.lines.values()]
      .filter((line) => line.quantity > 0n)
      .map(({ entry: of, unitPrice: _text, released: _when, ...line }) => ({
        ...line,
        declined: of.declined,
        releasedBySource: of.releasedBySource,
      })),
  );
  return {
    held: balance?.pending ?? 0n,
    owed: (balance?.available ?? 0n) - (balance?.debt ?? 0n),
    net: (balance?.accrued ?? 0n) - (balance?.reversed ?? 0n),
    lines: counting.toSorted((a, b) => a.lineNo - b.lineNo),
  };
}

const stockIn = (house: House) =>
  [...house.items]
    .map(([stream, { onHand }]) => `${stream} ${onHand}`)
    .filter((text) => !text.endsWith(' 0'))
    .toSorted();

const releaseOns = fc.constantFrom(ReleaseOn.TRACKED, ReleaseOn.CONFIRMED, ReleaseOn.SETTLED);

test('reports of an order converge: order, account and stock', () => {
  fc.assert(
    fc.property(arrivals, releaseOns, ([one, other], releaseOn) => {
      const [a, b] = [after(one, releaseOn, 30), after(other, releaseOn, 30)];
      expect(orderIn(b)).toEqual(orderIn(a));
      expect(accountIn(b)).toEqual(accountIn(a));
      expect(stockIn(b)).toEqual(stockIn(a));
      for (const house of [a, b]) {
        house.account(releaseDue(day(60)));
        house.account(takeReturn({ at: day(61) }));
        house.account(withdraw({ at: day(62) }));
      }
      expect(accountIn(b)).toEqual(accountIn(a));
    }),
    { numRuns: 400 },
  );
});

test('an order that ends declined earns nothing, one that counts earns the floor of each line', () => {
  fc.assert(
    fc.property(arrivals, releaseOns, ([reports], releaseOn) => {
      const house = after(reports, releaseOn, 30);
      const order = orderIn(house);
      const rates: Record<string, bigint> = { product: 500n, luxury: 1000n };
      const earned = (order?.lines ?? []).reduce(
        (sum, { line }) => sum + (line.amountMinor * (rates[line.category] ?? 0n)) / 10_000n,
        0n,
      );
      const declined = order?.status === 3;
      expect(accountIn(house).net).toBe(declined ? 0n : earned);
    }),
    { numRuns: 400 },
  );
});
