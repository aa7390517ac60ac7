/* oxlint-disable vitest/expect-expect -- outcomes assert: see given-when-then.ts */
import { expect, test } from 'vitest';
import { accountAggregate } from '../../src/domain/account/index.ts';
import { RebateCause } from '../../src/gen/tallyback/events/v1/account.ts';
import { OrderStatus } from '../../src/gen/tallyback/events/v1/order.ts';
import { ReleaseOn } from '../../src/gen/tallyback/events/v1/programme.ts';
import { given } from './given-when-then.ts';
import {
  adjust,
  confirmEntry,
  day,
  earn100,
  freeze,
  ofEntry,
  rebateLine,
  releaseDue,
  retarget,
  settle,
  undo,
  unfreeze,
  withdraw,
} from './samples.ts';

const changeTo = (quantity: bigint, at = day(1)) =>
  retarget({ at, cause: RebateCause.AMENDED, changed: [{ lineNo: 1, quantity, unitPrice: '2.00' }] });
const paidOut = [earn100(), withdraw(), settle()];
const owing100 = [...paidOut, ofEntry('decline-entry', day(42))];

test('an order accrues to pending, and a repeat changes nothing', () => {
  given(accountAggregate)
    .when(earn100())
    .thenHappens('RebateAccrued')
    .saying('RebateAccrued', { amountMinor: 100n, toPending: 100n, toAvailable: 0n });
  given(accountAggregate, earn100()).when(earn100()).thenNothingHappens();
  given(accountAggregate).when(retarget()).thenNothingHappens();
});

test('what is due is released before the decision, in the same append', () => {
  given(accountAggregate, earn100())
    .when(withdraw({ at: day(30) }))
    .thenHappens('RebateReleased', 'WithdrawalRequested')
    .saying('WithdrawalRequested', { amountMinor: 100n });
  given(accountAggregate, earn100())
    .when(withdraw({ at: new Date(day(30).getTime() - 1) }))
    .thenRefused('NOTHING_TO_WITHDRAW');
  given(accountAggregate, earn100())
    .when(releaseDue(day(30)))
    .thenHappens('RebateReleased');
  given(accountAggregate, earn100(), releaseDue(day(30)))
    .when(releaseDue(day(31)))
    .thenNothingHappens();
});

test('business time may go back: what was released stays so', () => {
  given(accountAggregate, earn100(), releaseDue(day(30)))
    .when(withdraw({ at: day(3) }))
    .thenHappens('WithdrawalRequested');
});

test('a line goes up and down by the floor of what counts', () => {
  given(accountAggregate, earn100())
    .when(changeTo(3n))
    .saying('RebateReversed', { amountMinor: 70n, fromPending: 70n, fromAvailable: 0n, toDebt: 0n });
  given(accountAggregate, earn100()).when(changeTo(11n)).saying('RebateAccrued', { toPending: 10n });
  given(accountAggregate, earn100(), releaseDue(day(30)))
    .when(changeTo(11n, day(31)))
    .saying('RebateAccrued', { toPending: 0n, toAvailable: 10n });
  given(accountAggregate, earn100(), changeTo(3n)).when(changeTo(3n)).thenNothingHappens();
});

test('one retarget may take from one line and give to another', () => {
  const added = [rebateLine(), rebateLine({ lineNo: 2, sku: 'cup' })];
  given(accountAggregate, earn100({ added }))
    .when(
      retarget({
        cause: RebateCause.AMENDED,
        changed: [
          { lineNo: 1, quantity: 12n, unitPrice: '2.00' },
          { lineNo: 2, quantity: 1n, unitPrice: '2.00' },
        ],
      }),
    )
    .thenHappens('RebateReversed', 'RebateAccrued')
    .saying('RebateReversed', { amountMinor: 90n })
    .saying('RebateAccrued', { amountMinor: 20n });
});

test('a line replaced by another purchase is reversed and accrued under its own rule', () => {
  const replaced = retarget({
    cause: RebateCause.AMENDED,
    changed: [{ lineNo: 1, quantity: 0n, unitPrice: '2.00' }],
    added: [rebateLine({ sku: 'vase', ruleId: 'vases', rateBps: 1000, quantity: 1n })],
  });
  given(accountAggregate, earn100())
    .when(replaced)
    .thenHappens('RebateReversed', 'RebateAccrued')
    .saying('RebateReversed', { amountMinor: 100n })
    .saying('RebateAccrued', { amountMinor: 20n });
  given(accountAggregate, earn100(), replaced).when(replaced).thenNothingHappens();
});

test('a line that an amendment removed comes back only when it is evaluated anew', () => {
  const removed = [earn100(), changeTo(0n)];
  given(accountAggregate, ...removed)
    .when(changeTo(5n))
    .thenNothingHappens();
  const anew = retarget({
    cause: RebateCause.AMENDED,
    changed: [{ lineNo: 1, quantity: 5n, unitPrice: '2.00' }],
    added: [rebateLine({ quantity: 5n })],
  });
  given(accountAggregate, ...removed)
    .when(anew)
    .saying('RebateAccrued', { amountMinor: 50n, lines: [] });
  const allBack = retarget({
    cause: RebateCause.RETURNED,
    changed: [{ lineNo: 1, quantity: 0n, unitPrice: '2.00' }],
  });
  given(accountAggregate, earn100(), allBack)
    .when(changeTo(2n))
    .saying('RebateAccrued', { amountMinor: 20n });
});

test('a reversal of paid money becomes debt, and later releases pay it first', () => {
  given(accountAggregate, ...paidOut)
    .when(ofEntry('decline-entry', day(42)))
    .saying('RebateReversed', { fromAvailable: 0n, toDebt: 100n });
  given(accountAggregate, ...owing100)
    .when(withdraw({ withdrawalId: 'w2' }))
    .thenRefused('NOTHING_TO_WITHDRAW');
  const another = earn100({ at: day(43), entryId: 'web~A2', added: [rebateLine({ quantity: 15n })] });
  given(accountAggregate, ...owing100, another)
    .when(releaseDue(day(43)))
    .saying('RebateReleased', { amountMinor: 150n, debtRecovered: 100n });
});

test('declining voids an entry, restoring brings it back; both once', () => {
  given(accountAggregate, earn100(), ofEntry('decline-entry'))
    .when(ofEntry('decline-entry'))
    .thenNothingHappens();
  given(accountAggregate, earn100(), ofEntry('decline-entry'))
    .when(ofEntry('restore-entry'))
    .saying('RebateAccrued', { cause: RebateCause.RESTORED, amountMinor: 100n, toPending: 100n });
  given(accountAggregate, earn100(), ofEntry('decline-entry'))
    .when(releaseDue(day(31)))
    .thenNothingHappens();
  given(accountAggregate, earn100()).when(ofEntry('restore-entry')).thenNothingHappens();
  given(accountAggregate).when(ofEntry('decline-entry')).thenNothingHappens();
  given(accountAggregate).when(confirmEntry()).thenNothingHappens();
});

test('a declined entry keeps count of its units and gets no money', () => {
  const declined = [earn100(), ofEntry('decline-entry')];
  given(accountAggregate, ...declined)
    .when(changeTo(4n))
    .saying('RebateReversed', { amountMinor: 0n });
  given(accountAggregate, ...declined, changeTo(4n))
    .when(ofEntry('restore-entry'))
    .saying('RebateAccrued', { amountMinor: 40n });
  given(accountAggregate, ...declined)
    .when(retarget({ added: [rebateLine({ lineNo: 2 })] }))
    .saying('RebateAccrued', { amountMinor: 0n, lines: [rebateLine({ lineNo: 2, rebateMinor: 0n })] });
});

test.each([
  [ReleaseOn.CONFIRMED, OrderStatus.CONFIRMED, true],
  [ReleaseOn.CONFIRMED, OrderStatus.SETTLED, true],
  [ReleaseOn.SETTLED, OrderStatus.CONFIRMED, false],
  [ReleaseOn.SETTLED, OrderStatus.SETTLED, true],
])('held until the source says so: release on %d, status %d', (releaseOn, status, released) => {
  const past = [earn100({ releaseOn })];
  given(accountAggregate, ...past)
    .when(releaseDue(day(31)))
    .thenNothingHappens();
  given(accountAggregate, ...past)
    .when(confirmEntry({ status }))
    .thenHappens(...(released ? (['RebateConfirmed'] as const) : []));
  given(accountAggregate, ...past, confirmEntry({ status }))
    .when(releaseDue(day(31)))
    .thenHappens(...(released ? (['RebateReleased'] as const) : []));
});

test('a confirmation after a decline restores; a lesser status takes the condition back, not the money', () => {
  const settled = confirmEntry({ status: OrderStatus.SETTLED });
  const confirmed = confirmEntry({ status: OrderStatus.CONFIRMED });
  const held = earn100({ releaseOn: ReleaseOn.SETTLED });
  given(accountAggregate, held, ofEntry('decline-entry'))
    .when(settled)
    .thenHappens('RebateAccrued')
    .saying('RebateAccrued', { cause: RebateCause.RESTORED, releasedBySource: true, amountMinor: 100n });
  given(accountAggregate, held, settled)
    .when(confirmed)
    .saying('RebateAccrued', { cause: RebateCause.RESTORED, releasedBySource: false, amountMinor: 0n });
  given(accountAggregate, held, settled, confirmed)
    .when(releaseDue(day(31)))
    .thenNothingHappens();
});

test('a withdrawal is of at least the minimum and at most what is available', () => {
  given(accountAggregate, earn100())
    .when(withdraw({ minimumMinor: 101n }))
    .thenRefused('BELOW_MINIMUM');
  given(accountAggregate, earn100())
    .when(withdraw({ amountMinor: 20n, minimumMinor: 50n }))
    .thenRefused('BELOW_MINIMUM');
  given(accountAggregate, earn100())
    .when(withdraw({ amountMinor: 101n }))
    .thenRefused('INSUFFICIENT_BALANCE');
  given(accountAggregate, earn100())
    .when(withdraw({ amountMinor: 0n }))
    .thenRefused('NOTHING_TO_WITHDRAW');
  given(accountAggregate, earn100())
    .when(withdraw({ amountMinor: 60n }))
    .saying('WithdrawalRequested', { amountMinor: 60n });
});

test('a withdrawal id names one withdrawal', () => {
  given(accountAggregate, earn100(), withdraw()).when(withdraw()).thenNothingHappens();
  given(accountAggregate, earn100(), withdraw())
    .when(withdraw({ amountMinor: 5n }))
    .thenRefused('WITHDRAWAL_ID_REUSED', 'already-exists');
});

test('a withdrawal is settled or fails, once; only a settled one is sent back', () => {
  const requested = [earn100(), withdraw()];
  given(accountAggregate, ...requested)
    .when(settle())
    .thenHappens('WithdrawalSettled');
  given(accountAggregate, ...requested)
    .when(undo('fail-withdrawal'))
    .thenHappens('WithdrawalFailed');
  given(accountAggregate, ...requested)
    .when(undo('return-withdrawal'))
    .thenRefused('WITHDRAWAL_NOT_OPEN');
  given(accountAggregate, ...requested, settle())
    .when(settle())
    .thenNothingHappens();
  given(accountAggregate, ...requested, settle())
    .when(undo('fail-withdrawal'))
    .thenRefused('WITHDRAWAL_NOT_OPEN');
  given(accountAggregate, ...requested, settle())
    .when(undo('return-withdrawal'))
    .thenHappens('WithdrawalReturned');
  const returned = [...requested, settle(), undo('return-withdrawal')];
  given(accountAggregate, ...returned)
    .when(undo('return-withdrawal'))
    .thenNothingHappens();
  given(accountAggregate, ...returned)
    .when(settle())
    .thenNothingHappens();
  const failed = [...requested, undo('fail-withdrawal')];
  given(accountAggregate, ...failed)
    .when(undo('fail-withdrawal'))
    .thenNothingHappens();
  given(accountAggregate, ...failed)
    .when(settle())
    .thenRefused('WITHDRAWAL_NOT_OPEN');
  given(accountAggregate).when(settle()).thenRefused('WITHDRAWAL_NOT_FOUND', 'not-found');
});

test('money that comes back pays debt first', () => {
  given(accountAggregate, ...owing100)
    .when(undo('return-withdrawal'))
    .saying('WithdrawalReturned', { amountMinor: 100n, debtRecovered: 100n });
  given(accountAggregate, ...owing100)
    .when(adjust({ at: day(43), amountMinor: 130n }))
    .saying('BalanceAdjusted', { debtRecovered: 100n, toDebt: 0n });
});

test('two people adjust a balance, once per id', () => {
  given(accountAggregate).when(adjust()).saying('BalanceAdjusted', { amountMinor: 50n });
  given(accountAggregate, adjust())
    .when(adjust({ adjustmentId: 'a2', amountMinor: -70n }))
    .saying('BalanceAdjusted', { toDebt: 20n });
  given(accountAggregate, adjust()).when(adjust()).thenNothingHappens();
  given(accountAggregate, adjust())
    .when(adjust({ amountMinor: 51n }))
    .thenRefused('ADJUSTMENT_ID_REUSED');
  given(accountAggregate)
    .when(adjust({ approvedBy: 'bea' }))
    .thenRefused('SAME_PERSON');
  given(accountAggregate)
    .when(adjust({ amountMinor: 0n }))
    .thenRefused('AMOUNT_ZERO', 'invalid');
});

test('a frozen account pays nothing out, and goes on earning', () => {
  const frozen = [earn100(), freeze()];
  given(accountAggregate, ...frozen)
    .when(withdraw())
    .thenRefused('ACCOUNT_FROZEN', 'precondition');
  given(accountAggregate, ...frozen)
    .when(earn100({ entryId: 'web~A2' }))
    .thenHappens('RebateAccrued');
  given(accountAggregate, ...frozen)
    .when(freeze())
    .thenNothingHappens();
  given(accountAggregate, ...frozen, unfreeze())
    .when(withdraw())
    .thenHappens('RebateReleased', 'WithdrawalRequested');
  given(accountAggregate).when(unfreeze()).thenNothingHappens();
});

test('a balance that would not fit is refused', () => {
  const most = 2n ** 63n - 1n;
  given(accountAggregate, adjust({ amountMinor: most }))
    .when(adjust({ adjustmentId: 'a2', amountMinor: 1n }))
    .thenRefused('AMOUNT_OVERFLOW', 'invalid');
  given(accountAggregate, earn100())
    .when(retarget({ changed: [{ lineNo: 1, quantity: most, unitPrice: '999999999' }] }))
    .thenRefused('AMOUNT_OVERFLOW');
});

test('a refused command appends nothing, not even what is due', () => {
  const past = [earn100()];
  given(accountAggregate, ...past)
    .when(withdraw({ amountMinor: 101n }))
    .thenRefused('INSUFFICIENT_BALANCE');
  expect(given(accountAggregate, ...past).state().balance.pending).toBe(100n);
});
