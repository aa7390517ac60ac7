/**
 * What each event changes in an account. The balance is the one the last event carries; `postings.ts` explains every
 * event's part in it.
 */
import { BrokenInvariant, present } from '../aggregate.ts';
import { RebateCause } from '../../gen/tallyback/events/v1/account.ts';
import { adjustmentFingerprint, returnFingerprint } from './content.ts';
import { changeLine, ensureEntry, entryIn, putLine, releaseLines, restate, takeFromLine } from './lines.ts';
import type { AccountEvent, AccountState, Withdrawal } from './state.ts';

export function evolveAccount(state: AccountState, event: AccountEvent): AccountState {
  if (event.type === 'CommandRefused' || event.type === 'CommandUnchanged') return state;
  evolveParts(state, event);
  state.balance = present(event.data.balance, `${event.type}.balance`);
  return state;
}

function evolveParts(
  state: AccountState,
  event: Exclude<AccountEvent, { type: 'CommandRefused' | 'CommandUnchanged' }>,
): void {
  switch (event.type) {
    case 'RebateAccrued': {
      const { data } = event;
      const entry = ensureEntry(state, data);
      for (const line of data.lines) putLine(state, entry, line);
      for (const change of data.changes) changeLine(entry, change);
      const declined = entry.declined && data.cause !== RebateCause.RESTORED;
      return restate(state, entry, declined, data.releasedBySource);
    }
    case 'RebateReversed': {
      const { data } = event;
      const entry = entryIn(state, data.entryId);
      for (const change of data.changes) {
        const line = changeLine(entry, change);
        line.removed ||= data.cause === RebateCause.AMENDED && line.quantity === 0n;
      }
      if (data.cause === RebateCause.DECLINED) restate(state, entry, true, false);
      return;
    }
    case 'RebateConfirmed': {
      const entry = entryIn(state, event.data.entryId);
      return restate(state, entry, entry.declined, true);
    }
    case 'RebateReleased':
      for (const { entryId, lineNos } of event.data.entries) {
        releaseLines(state, entryIn(state, entryId), lineNos);
      }
      return;
    case 'ReturnTaken':
      for (const line of event.data.lines) {
        for (const change of line.matched) takeFromLine(entryIn(state, change.entryId), change);
      }
      state.returns.set(event.data.returnId, returnFingerprint(event.data.merchant, event.data.lines));
      return;
    case 'WithdrawalRequested': {
      const { withdrawalId, amountMinor } = event.data;
      state.withdrawals.set(withdrawalId, { amountMinor, status: 'requested' });
      return;
    }
    case 'WithdrawalSettled':
      return moveWithdrawal(state, event.data.withdrawalId, 'settled');
    case 'WithdrawalFailed':
      return moveWithdrawal(state, event.data.withdrawalId, 'failed');
    case 'WithdrawalReturned':
      return moveWithdrawal(state, event.data.withdrawalId, 'returned');
    case 'BalanceAdjusted':
      state.adjustments.set(event.data.adjustmentId, adjustmentFingerprint(event.data));
      return;
    case 'AccountFrozen':
      state.frozen = true;
      return;
    case 'AccountUnfrozen':
      state.frozen = false;
      return;
  }
}

function moveWithdrawal(state: AccountState, id: string, status: Withdrawal['status']): void {
  const withdrawal = state.withdrawals.get(id);
  if (withdrawal === undefined)
    throw new BrokenInvariant(`withdrawal ${id} is ${status} but was never requested`);
  state.withdrawals.set(id, { amountMinor: withdrawal.amountMinor, status });
}
