/* oxlint-disable vitest/expect-expect -- outcomes assert: see given-when-then.ts */
/** Returns that name no order: what they are matched with. */
import { expect, test } from 'vitest';
import { accountAggregate, type AccountCommand } from '../../src/domain/account/index.ts';
import {
  RebateCause,
  type RebateLine,
  type RebateLineChange,
} from '../../src/gen/tallyback/events/v1/account.ts';
import { given, stateAfter } from './given-when-then.ts';
import { day, earn100, ofEntry, rebateLine, releaseDue, retarget, takeReturn } from './samples.ts';

/** One order of a day with these lines, numbered from 1. */
const bought = (onDay: number, ...lines: Partial<RebateLine>[]): AccountCommand =>
  retarget({
    at: day(onDay),
    entryId: `web~day${onDay}`,
    added: lines.map((over, i) =>
      rebateLine({ lineNo: i + 1, orderedAt: day(onDay), maturesAt: day(onDay + 30), ...over }),
    ),
  });

const back = (quantity: bigint, unitPrice = '2.00', over: Parameters<typeof takeReturn>[0] = {}) =>
  takeReturn({ ...over, lines: [{ lineNo: 1, sku: 'mug', quantity, unitPrice }] });

/** "entry/line kept" of every match. */
function matches(past: readonly AccountCommand[], command: AccountCommand): string[] {
  const decision = accountAggregate.decide(stateAfter(accountAggregate, past), command);
  if (decision.kind === 'refused') throw new Error(decision.refusal.reason);
  const taken = decision.events.find((event) => event.type === 'ReturnTaken');
  const name = (m: RebateLineChange) => `${m.entryId}/${m.lineNo} ${m.quantityAfter}`;
  return taken?.data.lines.flatMap((line) => line.matched.map(name)) ?? [];
}

test('newest purchases first, later lines of an order before earlier ones', () => {
  const past = [bought(2, {}, {}), bought(1, {})];
  expect(matches(past, back(25n))).toEqual(['web~day2/2 0', 'web~day2/1 0', 'web~day1/1 5']);
});

test('purchases of the same price before the others, whatever way the price is written', () => {
  const past = [
    bought(1, { unitPrice: '2.0' }),
    bought(2, { unitPrice: '3.00' }),
    bought(3, { unitPrice: '2' }),
  ];
  expect(matches(past, back(25n))).toEqual(['web~day3/1 0', 'web~day1/1 0', 'web~day2/1 5']);
});

test('several lines of a return see what the earlier ones have taken', () => {
  const two = takeReturn({
    lines: [
      { lineNo: 1, sku: 'mug', quantity: 6n, unitPrice: '2.00' },
      { lineNo: 2, sku: 'mug', quantity: 6n, unitPrice: '2.00' },
    ],
  });
  expect(matches([bought(1, {}), bought(2, {})], two)).toEqual([
    'web~day2/1 4',
    'web~day2/1 0',
    'web~day1/1 8',
  ]);
});

test('only the same merchant and SKU, and nothing that was declined', () => {
  const past = [bought(1, {}), bought(2, { sku: 'vase' })];
  expect(matches(past, back(1n, '2.00', { merchant: 'elsewhere' }))).toEqual([]);
  expect(matches(past, back(1n))).toEqual(['web~day1/1 9']);
  expect(matches([earn100(), ofEntry('decline-entry')], back(1n))).toEqual([]);
});

test('units without a purchase are orphans: recorded, and moving no money', () => {
  given(accountAggregate, earn100())
    .when(back(12n))
    .saying('ReturnTaken', {
      amountMinor: 100n,
      lines: [expect.objectContaining({ orphanQuantity: 2n })],
    });
  given(accountAggregate)
    .when(back(12n))
    .saying('ReturnTaken', { amountMinor: 0n, lines: [expect.objectContaining({ orphanQuantity: 12n })] });
});

test('held rebates go from pending, released ones from available, the rest is owed', () => {
  given(accountAggregate, earn100())
    .when(back(4n))
    .saying('ReturnTaken', { fromPending: 40n, fromAvailable: 0n });
  given(accountAggregate, earn100())
    .when(back(4n, '2.00', { at: day(30) }))
    .thenHappens('RebateReleased', 'ReturnTaken')
    .saying('ReturnTaken', { fromPending: 0n, fromAvailable: 40n });
});

test('a return counts once', () => {
  given(accountAggregate, earn100(), back(4n))
    .when(back(4n, '2.0', { at: day(9) }))
    .thenNothingHappens();
  given(accountAggregate, earn100(), back(4n))
    .when(back(5n))
    .thenRefused('RETURN_ID_REUSED', 'already-exists');
  given(accountAggregate).when(back(0n)).thenRefused('QUANTITY_NOT_POSITIVE', 'invalid');
});

test('an amendment does not give back what a return has taken', () => {
  // As the policy says it: the new target, and the line evaluated anew should it be gone.
  const amended = (quantity: bigint) =>
    retarget({
      cause: RebateCause.AMENDED,
      changed: [{ lineNo: 1, quantity, unitPrice: '2.00' }],
      added: [rebateLine({ quantity })],
    });
  given(accountAggregate, earn100(), back(4n))
    .when(amended(12n))
    .saying('RebateAccrued', { amountMinor: 20n });
  given(accountAggregate, earn100(), back(4n), amended(3n))
    .when(amended(10n))
    .saying('RebateAccrued', { amountMinor: 60n });
});

test('an account of 8,000 lines takes a return of 500 lines at once', () => {
  const skuOf = (n: number) => `sku ${n % 800}`;
  const orders = Array.from({ length: 80 }, (_, order) =>
    bought(order, ...Array.from({ length: 100 }, (_line, n) => ({ sku: skuOf(order * 100 + n) }))),
  );
  const state = stateAfter(accountAggregate, [...orders, releaseDue(day(200))]);
  const lines = Array.from({ length: 500 }, (_, n) => ({
    lineNo: n + 1,
    sku: skuOf(n),
    quantity: 15n,
    unitPrice: '2.00',
  }));
  const started = performance.now();
  const decision = accountAggregate.decide(state, takeReturn({ at: day(200), lines }));
  expect(performance.now() - started).toBeLessThan(1000);
  expect(decision).toMatchObject({ kind: 'accepted', events: [{ data: { amountMinor: 500n * 150n } }] });
});
