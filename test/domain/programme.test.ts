/* oxlint-disable vitest/expect-expect -- outcomes assert: see given-when-then.ts */
import { expect, test } from 'vitest';
import { evaluateLine, programmeAggregate, ruleSetInForce } from '../../src/domain/programme/index.ts';
import { ReleaseOn } from '../../src/gen/tallyback/events/v1/programme.ts';
import { given } from './given-when-then.ts';
import { day, publish, rule } from './samples.ts';

const retire = (version: number, retiredAt: Date) =>
  ({ kind: 'retire-rule-set', merchant: 'shop', at: day(0), version, retiredAt }) as const;

test('rule sets get dense versions', () => {
  given(programmeAggregate)
    .when(publish())
    .thenHappens('RuleSetPublished')
    .saying('RuleSetPublished', { version: 1 });
  given(programmeAggregate, publish({ validUntil: day(10) }))
    .when(publish({ version: 2, validFrom: day(10) }))
    .saying('RuleSetPublished', { version: 2 });
  given(programmeAggregate)
    .when(publish({ version: 2 }))
    .thenRefused('RULE_SET_VERSION_MISMATCH');
});

test('the latest rule set again is a repeat, with its version or without', () => {
  given(programmeAggregate, publish()).when(publish()).thenNothingHappens();
  given(programmeAggregate, publish())
    .when(publish({ version: 1 }))
    .thenNothingHappens();
  given(programmeAggregate, publish())
    .when(publish({ version: 1, holdDays: 31 }))
    .thenRefused('RULE_SET_VERSION_MISMATCH');
});

test('windows of one priority do not overlap, unless the other is retired by then', () => {
  const first = publish({ validUntil: day(10) });
  const overlapping = publish({ validFrom: day(9), holdDays: 7 });
  given(programmeAggregate, first).when(overlapping).thenRefused('RULE_SET_WINDOW_OVERLAP', 'precondition');
  given(programmeAggregate, first)
    .when(publish({ validFrom: day(10) }))
    .thenHappens('RuleSetPublished');
  given(programmeAggregate, first)
    .when(publish({ validFrom: day(9), priority: 1 }))
    .thenHappens('RuleSetPublished');
  given(programmeAggregate, first, retire(1, day(9)))
    .when(overlapping)
    .thenHappens('RuleSetPublished');
});

test('a retired rule set can be published again under a new version', () => {
  given(programmeAggregate, publish(), retire(1, day(0)))
    .when(publish({ version: 1 }))
    .thenNothingHappens();
  given(programmeAggregate, publish(), retire(1, day(0)))
    .when(publish())
    .saying('RuleSetPublished', { version: 2 });
});

test('retiring moves the end of a window only forward in time', () => {
  given(programmeAggregate, publish())
    .when(retire(1, day(5)))
    .thenHappens('RuleSetRetired');
  given(programmeAggregate, publish(), retire(1, day(5)))
    .when(retire(1, day(5)))
    .thenNothingHappens();
  given(programmeAggregate, publish(), retire(1, day(5)))
    .when(retire(1, day(6)))
    .thenNothingHappens();
  given(programmeAggregate, publish(), retire(1, day(5)))
    .when(retire(1, day(4)))
    .thenHappens('RuleSetRetired');
  given(programmeAggregate)
    .when(retire(1, day(5)))
    .thenRefused('RULE_SET_NOT_FOUND', 'not-found');
});

test.each([
  ['NO_RULES', { rules: [] }],
  ['RULE_ID_REQUIRED', { rules: [rule({ ruleId: '' })] }],
  ['DUPLICATE_RULE_ID', { rules: [rule(), rule()] }],
  ['RATE_OUT_OF_BOUNDS', { rules: [rule({ rateBps: 10_001 })] }],
  ['RATE_OUT_OF_BOUNDS', { rules: [rule({ rateBps: -1 })] }],
  ['RATE_OUT_OF_BOUNDS', { rules: [rule({ rateBps: 0.5 })] }],
  ['HOLD_DAYS_OUT_OF_BOUNDS', { holdDays: 3_651 }],
  ['EMPTY_WINDOW', { validUntil: day(0) }],
  ['RELEASE_ON_REQUIRED', { releaseOn: ReleaseOn.UNSPECIFIED }],
])('a rule set out of bounds is refused: %s', (reason, over) => {
  given(programmeAggregate).when(publish(over)).thenRefused(reason, 'invalid');
});

test('of the rule sets that cover a time, the highest priority counts; the end of a window is not in it', () => {
  const state = given(
    programmeAggregate,
    publish({ validFrom: day(10) }),
    publish({ validFrom: day(20), validUntil: day(25), priority: 5 }),
    retire(2, day(24)),
  ).state();
  const versionAt = (n: number) => ruleSetInForce(state, day(n))?.version;
  expect([9, 10, 20, 23, 24, 25].map(versionAt)).toEqual([undefined, 1, 2, 2, 1, 1]);
});

test('the first rule that matches a line counts', () => {
  const rules = [
    rule({ ruleId: 'mugs', skus: ['mug'], rateBps: 1000 }),
    rule({ ruleId: 'rest', categories: [], excludedSkus: ['gift card'], rateBps: 100 }),
  ];
  const ruleSet = ruleSetInForce(given(programmeAggregate, publish({ rules })).state(), day(1));
  if (ruleSet === undefined) throw new Error('no rule set');
  const earns = (sku: string, category: string, quantity = 1n, unitPrice = '9.99') => {
    const line = { lineNo: 1, sku, category, quantity, unitPrice, amountMinor: 999n, service: true };
    return evaluateLine(ruleSet, { ...line, orderedAt: day(1) });
  };
  expect(earns('mug', 'product')).toMatchObject({ ruleId: 'mugs', rebateMinor: 99n, maturesAt: day(31) });
  expect(earns('mug', 'other')).toMatchObject({ ruleId: 'rest', rebateMinor: 9n });
  expect(earns('gift card', 'product')).toBeUndefined();
  expect(earns('mug', 'product', 0n)).toBeUndefined();
  expect(earns('mug', 'product', 1n, '0.00')).toBeUndefined();
});
