/** ExplainRebate over gRPC, worked out again here from nothing but the inputs that it states. */
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { AccountCommand } from '../../src/domain/account/index.ts';
import { present } from '../../src/domain/aggregate.ts';
import { decodeEvent } from '../../src/domain/codec.ts';
import type { OrderCommand, ReportedLine } from '../../src/domain/order/index.ts';
import type { ProgrammeCommand } from '../../src/domain/programme/index.ts';
import { accountStream } from '../../src/domain/streams.ts';
import {
  type LineArithmetic,
  type RebateExplanation,
  RebateStepCause,
} from '../../src/gen/tallyback/account/v1/rebate_explanation.ts';
import { ReleaseOn } from '../../src/gen/tallyback/events/v1/programme.ts';
import type { RecordedEvent } from '../../src/eventstore/port.ts';
import {
  day,
  line,
  publish,
  rebateLine,
  releaseDue,
  reportReturn,
  reportStatus,
  retarget,
  returnLines,
  rule,
  track,
  withdraw,
} from '../domain/samples.ts';
import { LoggedHouse } from './support/logged-house.ts';
import { answered, refusedBy, startTestApi, type TestApi, tokens } from './support/server.ts';

let api: TestApi;
let house: LoggedHouse;
beforeAll(async () => {
  api = await startTestApi({
    streams: { readStream: (stream, options) => house.readStream(stream, options) },
    head: async () => Promise.resolve(house.head()),
  });
});
afterAll(() => api.close());
beforeEach(() => {
  house = new LoggedHouse();
});

const explain = async (entryId: string, currency = 'GBP'): Promise<RebateExplanation> => {
  const request = { member: 'ann', currency, entryId };
  const { explanation } = await answered(api.accountQuery, api.accountQuery.explainRebate, request);
  return present(explanation, 'explanation');
};
const refusal = (entryId: string, currency = 'GBP') =>
  refusedBy(api.accountQuery, api.accountQuery.explainRebate, { member: 'ann', currency, entryId });

// The arithmetic once more, in another way: by decimal text.

const exponents: Readonly<Record<string, number>> = { GBP: 2, JPY: 0, KWD: 3 };

function amountOf({ quantity, unitPrice }: LineArithmetic, currency: string): bigint {
  const [major = '', minor = ''] = unitPrice.split('.');
  const millionths = BigInt(`${major}${minor.padEnd(6, '0')}`) * quantity;
  const digits = String(millionths).padStart(12, '0');
  const cut = digits.length - 6 + (exponents[currency] ?? 2);
  const [whole, rest] = [BigInt(digits.slice(0, cut)), digits.slice(cut).padEnd(6, '0')];
  if (rest > '500000' || (rest === '500000' && whole % 2n === 1n)) return whole + 1n;
  return whole;
}

function expectArithmetic(of: LineArithmetic, currency: string, declined: boolean): void {
  expect(of.amountMinor).toBe(amountOf(of, currency));
  expect(of.earnsMinor * 10_000n + BigInt(of.roundedOff)).toBe(of.amountMinor * BigInt(of.rateBps));
  expect(of.roundedOff >= 0 && of.roundedOff < 10_000).toBe(true);
  expect(of.rebateMinor).toBe(declined ? 0n : of.earnsMinor);
}

const sum = <T>(of: readonly T[], amount: (one: T) => bigint): bigint =>
  of.reduce((total, one) => total + amount(one), 0n);

/** What an event booked on an entry: earned, pending, released. */
function booked(recorded: RecordedEvent, entryId: string): readonly [bigint, bigint, bigint] | undefined {
  const { type, data } = decodeEvent(recorded);
  if (type === 'RebateReleased') {
    const own = data.entries.find((entry) => entry.entryId === entryId);
    return own && [0n, -own.amountMinor, own.amountMinor];
  }
  if (type === 'ReturnTaken') {
    const matched = data.lines.flatMap((of) => of.matched).filter((change) => change.entryId === entryId);
    const taken = sum(matched, (change) => change.rebateBefore - change.rebateAfter);
    const foreign = data.lines.some((of) => of.matched.some((change) => change.entryId !== entryId));
    // Where the money of several entries was is not booked by entry.
    const parts = foreign ? undefined : ([-data.fromPending, -(data.fromAvailable + data.toDebt)] as const);
    return matched.length > 0 ? [-taken, ...(parts ?? ([-taken, 0n] as const))] : undefined;
  }
  if (!('entryId' in data) || data.entryId !== entryId) return undefined;
  if (type === 'RebateAccrued')
    return [data.amountMinor, data.toPending, data.toAvailable + data.debtRecovered];
  if (type === 'RebateReversed')
    return [-data.amountMinor, -data.fromPending, -(data.fromAvailable + data.toDebt)];
  return [0n, 0n, 0n];
}

function expectExplained(told: RebateExplanation, currency: string): void {
  const { entryId } = told;
  const account = house.log.filter(({ stream }) => stream === accountStream('ann', currency));
  // Every event that concerns the entry is a step, and the other way round.
  const concerning = account.filter((recorded) => booked(recorded, entryId) !== undefined);
  expect(told.steps.map(({ revision }) => Number(revision))).toEqual(
    concerning.map(({ revision }) => revision),
  );

  let declined = false;
  const lines = new Map<number, { readonly of: LineArithmetic; readonly released: boolean }>();
  for (const [n, step] of told.steps.entries()) {
    if (step.cause === RebateStepCause.DECLINED) declined = true;
    if (step.cause === RebateStepCause.RESTORED) declined = false;
    const isRelease = step.cause === RebateStepCause.RELEASED;
    let [pending, released] = [0n, 0n];
    for (const {
      after: afterwards,
      evaluated,
      quantityBefore,
      rebateBeforeMinor,
      releasedBefore,
    } of step.lines) {
      const after = present(afterwards, 'after');
      expectArithmetic(after, currency, declined);
      const before = evaluated ? undefined : lines.get(after.lineNo);
      expect([quantityBefore, rebateBeforeMinor, releasedBefore]).toEqual([
        before?.of.quantity ?? 0n,
        before?.of.rebateMinor ?? 0n,
        before?.released ?? false,
      ]);
      const by = after.rebateMinor - rebateBeforeMinor;
      if (isRelease) [pending, released] = [pending - after.rebateMinor, released + after.rebateMinor];
      else if (releasedBefore) released += by;
      else pending += by;
      lines.set(after.lineNo, { of: after, released: releasedBefore || isRelease });
    }
    expect([step.pendingMinor, step.releasedMinor, step.earnedMinor]).toEqual([
      pending,
      released,
      pending + released,
    ]);
    const recorded = present(concerning[n], 'event');
    const [earned, ...parts] = present(booked(recorded, entryId), 'booked');
    expect(step.earnedMinor).toBe(earned);
    const { type, data } = decodeEvent(recorded);
    const shared =
      type === 'ReturnTaken' && data.lines.some((of) => of.matched.some((m) => m.entryId !== entryId));
    expect(shared || (step.pendingMinor === parts[0] && step.releasedMinor === parts[1])).toBe(true);
  }

  const now = told.lines.map(({ arithmetic }) => present(arithmetic, 'arithmetic'));
  expect(now).toEqual([...lines.values()].map(({ of }) => of).toSorted((a, b) => a.lineNo - b.lineNo));
  expect(told.declined).toBe(declined);
  const left = sum(now, (of) => of.rebateMinor);
  expect(told.accruedMinor - told.reversedMinor).toBe(left);
  expect(told.pendingMinor + told.releasedMinor).toBe(left);
  expect([told.pendingMinor, told.releasedMinor]).toEqual([
    sum(told.steps, (step) => step.pendingMinor),
    sum(told.steps, (step) => step.releasedMinor),
  ]);
  for (const { arithmetic, orderedAt, maturesAt, releasedAt, category } of told.lines) {
    const { lineNo, ruleSetVersion, ruleId, rateBps } = present(arithmetic, 'arithmetic');
    const applied = told.rules.find((one) => one.ruleSetVersion === ruleSetVersion && one.ruleId === ruleId);
    expect(applied?.rateBps).toBe(rateBps);
    const ordered = present(orderedAt, 'ordered_at').getTime();
    expect(maturesAt?.getTime()).toBe(ordered + (applied?.holdDays ?? NaN) * 86_400_000);
    expect(releasedAt !== undefined).toBe(lines.get(lineNo)?.released);
    expect(applied?.validFrom?.getTime()).toBeLessThanOrEqual(ordered);
    // The rules below are of one category each, and of any.
    expect(ruleId === 'any' ? 'other' : ruleId).toBe(category);
  }
}

const at = fc.integer({ min: 0, max: 60 }).map(day);
const externalId = fc.constantFrom('A1', 'A2', 'ü/3');
const version = fc.bigInt({ min: 1n, max: 6n });
const lineNo = fc.integer({ min: 1, max: 3 });
const quantity = fc.bigInt({ min: 1n, max: 9n });
const byLine = { selector: (of: { readonly lineNo: number }) => of.lineNo, minLength: 1, maxLength: 3 };
const reported: fc.Arbitrary<ReportedLine> = fc
  .record({
    lineNo,
    sku: fc.constantFrom('mug', 'mug', 'vase'),
    category: fc.constantFrom('shoes', 'shoes', 'books', 'other'),
    quantity,
    unitPrice: fc.constantFrom('0', '0.37', '2.55', '12.345', '0.005', '199'),
    orderedAt: fc.constantFrom(0, 0, 3, 20).map(day),
  })
  .map((over) => line(over));

type Act = (currency: string) => void;
const reporting = (command: fc.Arbitrary<OrderCommand>): fc.Arbitrary<Act> =>
  command.map((reportedOrder) => (currency) => {
    house.order('currency' in reportedOrder ? { ...reportedOrder, currency } : reportedOrder);
  });
const doing = (command: fc.Arbitrary<AccountCommand>): fc.Arbitrary<Act> =>
  command.map((asked) => (currency) => {
    house.account({ ...asked, currency });
  });
const publishing = (command: fc.Arbitrary<ProgrammeCommand>): fc.Arbitrary<Act> =>
  command.map((asked) => () => {
    house.programme(asked);
  });

const rate = fc.integer({ min: 0, max: 10_000 });
const ruleSet = fc
  .record({
    shoes: rate,
    any: rate,
    priority: fc.nat(3),
    holdDays: fc.nat(30),
    releaseOn: fc.constantFrom(ReleaseOn.TRACKED, ReleaseOn.CONFIRMED, ReleaseOn.SETTLED),
    validFrom: fc.constantFrom(0, 2, 10).map(day),
  })
  .map(({ shoes, any, ...over }) =>
    publish({
      ...over,
      rules: [
        rule({ ruleId: 'shoes', categories: ['shoes'], rateBps: shoes }),
        rule({ ruleId: 'books', categories: ['books'], rateBps: 333 }),
        rule({ ruleId: 'any', categories: [], rateBps: any }),
      ],
    }),
  );

const act = fc.oneof(
  {
    weight: 6,
    arbitrary: reporting(
      fc
        .record({ externalId, sourceVersion: version, at, lines: fc.uniqueArray(reported, byLine) })
        .map((over) => track(over)),
    ),
  },
  {
    weight: 4,
    arbitrary: reporting(
      fc
        .tuple(externalId, fc.constantFrom('confirm', 'decline', 'restore', 'settle'), version, at)
        .map(([id, kind, of, when]) => ({ ...reportStatus(kind, of, when), externalId: id })),
    ),
  },
  {
    weight: 3,
    arbitrary: reporting(
      fc
        .record({
          externalId,
          at,
          returnId: fc.constantFrom('R1', 'R2', 'R3', 'R4'),
          lines: fc.uniqueArray(fc.record({ lineNo, quantity: fc.constantFrom(1n, 2n) }), byLine),
        })
        .map((over) => returnLines(over)),
    ),
  },
  {
    weight: 3,
    arbitrary: reporting(
      fc
        .record({
          externalId: fc.constantFrom('C1', 'C2', 'C3'),
          at,
          lines: fc.uniqueArray(reported, byLine),
        })
        .map((over) => reportReturn(over)),
    ),
  },
  { weight: 3, arbitrary: doing(at.map(releaseDue)) },
  { weight: 1, arbitrary: doing(at.map((when) => withdraw({ at: when }))) },
  { weight: 1, arbitrary: publishing(ruleSet) },
);

test('whatever happens, every rebate is explained to the penny from what the explanation itself states', async () => {
  const causes = new Map<RebateStepCause, number>();
  await fc.assert(
    fc.asyncProperty(
      ruleSet,
      fc.array(act, { minLength: 5, maxLength: 30 }),
      fc.constantFrom('GBP', 'JPY', 'KWD'),
      async (first, acts, currency) => {
        house = new LoggedHouse();
        house.programme(first);
        for (const each of acts) each(currency);
        const state = house.accounts.get(accountStream('ann', currency));
        const explanations = await Promise.all(
          [...(state?.entries.keys() ?? [])].map((entryId) => explain(entryId, currency)),
        );
        for (const told of explanations) {
          expectExplained(told, currency);
          for (const { cause } of told.steps) causes.set(cause, (causes.get(cause) ?? 0) + 1);
        }
        expect(sum(explanations, (told) => told.accruedMinor)).toBe(state?.balance.accrued ?? 0n);
        expect(sum(explanations, (told) => told.reversedMinor)).toBe(state?.balance.reversed ?? 0n);
        expect(sum(explanations, (told) => told.pendingMinor)).toBe(state?.balance.pending ?? 0n);
      },
    ),
    { numRuns: 300 },
  );
  // Everything that can happen did.
  expect([...causes.keys()].toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

describe('an explanation', () => {
  test('says why, and because of what', async () => {
    house.programme(
      publish({ rules: [rule({ ruleId: 'product', rateBps: 333 })], releaseOn: ReleaseOn.CONFIRMED }),
    );
    house.order(
      track({ lines: [line({ quantity: 3n, unitPrice: '2.55' }), line({ lineNo: 2, category: 'none' })] }),
    );
    house.order(track({ sourceVersion: 2n, at: day(1), lines: [line({ quantity: 4n, unitPrice: '2.55' })] }));
    house.order(returnLines({ returnId: 'R7', lines: [{ lineNo: 1, quantity: 1n }] }));
    house.order(
      reportReturn({ externalId: 'C1', at: day(3), lines: [line({ quantity: 1n, unitPrice: '2.55' })] }),
    );
    house.order(reportStatus('decline', 3n, day(4)));
    house.order(reportStatus('confirm', 4n, day(5)));
    house.account(releaseDue(day(31)));
    const told = await explain('web~A1');
    expectExplained(told, 'GBP');
    expect(
      told.steps.map((step) => [
        step.cause,
        step.returnId,
        step.reason,
        step.sourceVersion,
        step.earnedMinor,
      ]),
    ).toEqual([
      [RebateStepCause.TRACKED, '', '', 1n, 25n],
      [RebateStepCause.AMENDED, '', '', 2n, 8n],
      [RebateStepCause.RETURNED, 'R7', '', 0n, -8n],
      [RebateStepCause.RETURN_MATCHED, 'web~C1', '', 0n, -9n],
      [RebateStepCause.DECLINED, '', 'cancelled', 3n, -16n],
      [RebateStepCause.RESTORED, '', '', 4n, 16n],
      [RebateStepCause.RELEASED, '', '', 0n, 0n],
    ]);
    expect(told).toMatchObject({
      merchant: 'shop',
      releaseConditionHolds: true,
      declined: false,
      accruedMinor: 49n,
      reversedMinor: 33n,
      pendingMinor: 0n,
      releasedMinor: 16n,
      rules: [{ ruleSetVersion: 1, ruleId: 'product', rateBps: 333, holdDays: 30 }],
      // 2 × 2.55 = 5.10, of which 3.33 % are 16.983 pence.
      lines: [
        {
          category: 'product',
          takenQuantity: 1n,
          maturesAt: day(30),
          releasedAt: day(31),
          arithmetic: {
            quantity: 2n,
            unitPrice: '2.55',
            amountMinor: 510n,
            earnsMinor: 16n,
            roundedOff: 9_830,
          },
        },
      ],
    });
  });

  test('of what the account does not know is NOT_FOUND', async () => {
    house.programme(publish());
    house.order(track());
    house.order(track({ externalId: 'A2', lines: [line({ category: 'none' })] }));
    for (const [entryId, currency] of [
      ['web~A2', 'GBP'],
      ['web~A3', 'GBP'],
      ['web~A', 'GBP'],
      ['eb~A1', 'GBP'],
      ['web~A1', 'EUR'],
    ] as const) {
      expect(await refusal(entryId, currency)).toMatchObject({
        code: 'NOT_FOUND',
        reason: 'REBATE_NOT_FOUND',
        types: ['ErrorInfo', 'ResourceInfo'],
      });
    }
    for (const entryId of ['', 'web', '~', 'web~', '~A1', 'web~A1~2', 'web~ü', 'web~A 1'])
      expect(await refusal(entryId), entryId).toMatchObject({
        code: 'INVALID_ARGUMENT',
        reason: 'INVALID_REQUEST',
      });
  });

  test('is of what was there when it was asked for', async () => {
    house.programme(publish());
    house.order(track());
    const request = { member: 'ann', currency: 'GBP', entryId: 'web~A1' };
    const { read } = await answered(api.accountQuery, api.accountQuery.explainRebate, request);
    expect(tokens.decode(read?.positionToken ?? '')).toEqual(house.head());
  });

  test('of a rebate that no order report caused has no category, and is proved all the same', async () => {
    house.programme(publish());
    house.account(retarget({ added: [rebateLine({ unitPrice: '2.55' })] }));
    const told = await explain('web~A1');
    expect(told.lines).toMatchObject([
      { category: '', arithmetic: { amountMinor: 2_550n, rebateMinor: 127n } },
    ]);
    expect(told.steps).toMatchObject([{ cause: RebateStepCause.TRACKED, sourceVersion: 0n }]);
  });

  test('of a rate that was never published is none, also if no order report caused it', async () => {
    house.programme(publish());
    house.account(retarget({ added: [rebateLine({ rateBps: 501 })] }));
    expect(await refusal('web~A1')).toMatchObject({ code: 'INTERNAL' });
    expect(api.log.at(-1)).toContain('no rule products of 501 basis points');
  });

  test.each([
    ['an amount', 'account-', '"amountMinor":"127"', '"amountMinor":"128"'],
    ['a rebate', 'account-', '"rebateMinor":"127"', '"rebateMinor":"126"'],
    ['a rate', 'account-', '"rateBps":500', '"rateBps":501'],
    ['a rule', 'account-', '"ruleId":"products"', '"ruleId":"others"'],
    ['a rule set', 'account-', '"ruleSetVersion":1', '"ruleSetVersion":2'],
    ['an end of the hold', 'account-', '2026-01-31', '2026-01-30'],
    ['the report', 'order-', '"category":"product"', '"category":"none"'],
    ['the rate that was published', 'programme-', '"rateBps":500', '"rateBps":600'],
    ['the hold that was published', 'programme-', '"holdDays":30', '"holdDays":31'],
    ['the window that was published', 'programme-', '"validFrom":"2026-01-01', '"validFrom":"2026-01-02'],
  ])('that does not add up is none: %s has been changed', async (_, stream, from, to) => {
    house.programme(publish());
    house.order(track());
    let changed = 0;
    for (const [n, recorded] of house.log.entries()) {
      if (!recorded.stream.startsWith(stream) || !recorded.data.includes(from)) continue;
      const { data, ...rest } = recorded;
      house.log[n] = { ...rest, data: data.replaceAll(from, to) };
      changed++;
    }
    expect(changed).toBe(1);
    const logged = api.log.length;
    expect(await refusal('web~A1')).toMatchObject({ code: 'INTERNAL', reason: 'INTERNAL' });
    expect(api.log.slice(logged).join()).toContain('BrokenInvariant');
  });

  test('that is too large for a response says so', async () => {
    const small = await startTestApi({
      streams: { readStream: (stream, options) => house.readStream(stream, options) },
      head: async () => Promise.resolve(house.head()),
      limits: { maxSendBytes: 1_000 },
    });
    try {
      house.programme(publish());
      house.order(track({ lines: Array.from({ length: 50 }, (_, n) => line({ lineNo: n + 1 })) }));
      const request = { member: 'ann', currency: 'GBP', entryId: 'web~A1' };
      expect(await refusedBy(small.accountQuery, small.accountQuery.explainRebate, request)).toMatchObject({
        code: 'RESOURCE_EXHAUSTED',
        reason: 'EXPLANATION_TOO_LARGE',
      });
    } finally {
      await small.close();
    }
  });
});
