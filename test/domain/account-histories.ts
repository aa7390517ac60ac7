/** Arbitrary histories of an account: few ids, so that commands meet each other; time may go back. */
import fc from 'fast-check';
import type { AccountCommand } from '../../src/domain/account/index.ts';
import { RebateCause, type RebateLine } from '../../src/gen/tallyback/events/v1/account.ts';
import { OrderStatus } from '../../src/gen/tallyback/events/v1/order.ts';
import { ReleaseOn } from '../../src/gen/tallyback/events/v1/programme.ts';
import { day, rebateLine } from './samples.ts';

const of = fc.record({
  member: fc.constant('ann'),
  currency: fc.constant('GBP'),
  at: fc.integer({ min: 0, max: 90 }).map(day),
});
const quantity = fc.bigInt({ min: 0n, max: 12n });
const units = fc.bigInt({ min: 1n, max: 12n });
const unitPrice = fc.constantFrom('2.00', '2.0', '0.37', '7.125', '0.01');
const sku = fc.constantFrom('mug', 'vase');
const entryId = fc.constantFrom('web~A1', 'web~A2', 'web~A3');
const merchant = fc.constantFrom('shop', 'shop', 'elsewhere');
const withdrawalId = fc.constantFrom('w1', 'w2', 'w3');
const lineNo = fc.integer({ min: 1, max: 3 });

const evaluated: fc.Arbitrary<RebateLine> = fc
  .record({ lineNo, sku, quantity: units, unitPrice, rateBps: fc.constantFrom(0, 500, 3333), n: fc.nat(40) })
  .map(({ n, ...over }) =>
    rebateLine({ ...over, ruleId: `of ${over.rateBps}`, orderedAt: day(n), maturesAt: day(n + 30) }),
  );
const byLine = { selector: (line: { readonly lineNo: number }) => line.lineNo, maxLength: 3 };

const retarget = fc.record({
  kind: fc.constant('retarget-entry'),
  entryId,
  merchant,
  cause: fc.constantFrom(RebateCause.TRACKED, RebateCause.AMENDED, RebateCause.RETURNED),
  added: fc.uniqueArray(evaluated, byLine),
  changed: fc.uniqueArray(fc.record({ lineNo, quantity, unitPrice }), byLine),
  releaseOn: fc.constantFrom(ReleaseOn.TRACKED, ReleaseOn.CONFIRMED, ReleaseOn.SETTLED),
  releasedBySource: fc.boolean(),
});

const takeReturn = fc.record({
  kind: fc.constant('take-return'),
  returnId: fc.constantFrom('web~C1', 'web~C2', 'web~C3', 'web~C4'),
  merchant,
  lines: fc.array(fc.record({ lineNo, sku, quantity: units, unitPrice }), { minLength: 1, maxLength: 3 }),
});

const ofEntry = fc.oneof(
  fc.record({
    kind: fc.constant('confirm-entry'),
    entryId,
    status: fc.constantFrom(OrderStatus.CONFIRMED, OrderStatus.SETTLED),
  }),
  fc.record({ kind: fc.constantFrom('decline-entry', 'restore-entry'), entryId }),
);

const withdrawal = fc.oneof(
  fc.record({
    kind: fc.constant('request-withdrawal'),
    withdrawalId,
    amountMinor: fc.option(fc.bigInt({ min: 1n, max: 80n }), { nil: undefined }),
    minimumMinor: fc.constantFrom(0n, 20n),
  }),
  fc.record({ kind: fc.constant('settle-withdrawal'), withdrawalId }),
  fc.record({
    kind: fc.constantFrom('fail-withdrawal', 'return-withdrawal'),
    withdrawalId,
    reason: fc.constant('bounced'),
  }),
);

const byHand = fc.oneof(
  fc.record({
    kind: fc.constant('adjust'),
    adjustmentId: fc.constantFrom('a1', 'a2'),
    amountMinor: fc.bigInt({ min: -150n, max: 150n }),
    reason: fc.constant('goodwill'),
    requestedBy: fc.constant('bea'),
    approvedBy: fc.constantFrom('bea', 'cid', 'cid'),
  }),
  fc.record({ kind: fc.constant('freeze'), reason: fc.constant('check'), requestedBy: fc.constant('bea') }),
  fc.record({ kind: fc.constant('unfreeze'), requestedBy: fc.constant('bea') }),
);

const command: fc.Arbitrary<AccountCommand> = fc
  .tuple(
    of,
    fc.oneof(
      { weight: 5, arbitrary: retarget },
      { weight: 3, arbitrary: takeReturn },
      { weight: 3, arbitrary: ofEntry },
      { weight: 4, arbitrary: withdrawal },
      { weight: 1, arbitrary: byHand },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('release-due') }) },
    ),
  )
  .map(([common, rest]) => ({ ...common, ...rest }));

export const history = fc.array(command, { maxLength: 30 });
