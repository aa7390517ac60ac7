/** Paying out: requested (set aside), then settled or failed; a settled one may still be sent back. */
import { accept, refuse } from '../aggregate.ts';
import { credit } from './balance.ts';
import type { AccountDecision, CommandOf, Draft } from './draft.ts';
import type { Withdrawal } from './state.ts';

export function requestWithdrawal(draft: Draft, command: CommandOf<'request-withdrawal'>): AccountDecision {
  const { withdrawalId, minimumMinor } = command;
  const { balance, state } = draft;
  const known = state.withdrawals.get(withdrawalId);
  if (known !== undefined) {
    return command.amountMinor === undefined || command.amountMinor === known.amountMinor
      ? accept()
      : refuse(
          'already-exists',
          'WITHDRAWAL_ID_REUSED',
          `withdrawal ${withdrawalId} is of ${known.amountMinor} minor units`,
        );
  }
  if (state.frozen) return refuse('precondition', 'ACCOUNT_FROZEN', 'the account is frozen');
  const amountMinor = command.amountMinor ?? balance.available;
  if (amountMinor <= 0n) return refuse('precondition', 'NOTHING_TO_WITHDRAW', 'the amount is not above 0');
  if (amountMinor > balance.available) {
    return refuse('precondition', 'INSUFFICIENT_BALANCE', `${balance.available} minor units are available`);
  }
  if (amountMinor < minimumMinor) {
    return refuse('precondition', 'BELOW_MINIMUM', `a withdrawal is of at least ${minimumMinor} minor units`);
  }
  const after = {
    ...balance,
    available: balance.available - amountMinor,
    reserved: balance.reserved + amountMinor,
  };
  return accept({
    type: 'WithdrawalRequested',
    data: { ...draft.common, withdrawalId, amountMinor, balance: after },
  });
}

export function settleWithdrawal(
  draft: Draft,
  { withdrawalId }: CommandOf<'settle-withdrawal'>,
): AccountDecision {
  const withdrawal = draft.state.withdrawals.get(withdrawalId);
  if (withdrawal === undefined) return notFound(withdrawalId);
  const { status, amountMinor } = withdrawal;
  // One that came back was settled once, too: the report is a late repeat.
  if (status === 'settled' || status === 'returned') return accept();
  if (status !== 'requested') return notOpen(withdrawalId, withdrawal);
  const balance = {
    ...draft.balance,
    reserved: draft.balance.reserved - amountMinor,
    paid: draft.balance.paid + amountMinor,
  };
  return accept({ type: 'WithdrawalSettled', data: { ...draft.common, withdrawalId, amountMinor, balance } });
}

/** A payout that did not happen (`fail`), or that the bank sent back after it was settled (`return`). */
export function undoWithdrawal(
  draft: Draft,
  { kind, withdrawalId, reason }: CommandOf<'fail-withdrawal' | 'return-withdrawal'>,
): AccountDecision {
  const withdrawal = draft.state.withdrawals.get(withdrawalId);
  if (withdrawal === undefined) return notFound(withdrawalId);
  const { status, amountMinor } = withdrawal;
  const fails = kind === 'fail-withdrawal';
  if (status === (fails ? 'failed' : 'returned')) return accept();
  if (status !== (fails ? 'requested' : 'settled')) return notOpen(withdrawalId, withdrawal);
  const { reserved, paid } = draft.balance;
  const back = fails
    ? { ...draft.balance, reserved: reserved - amountMinor }
    : { ...draft.balance, paid: paid - amountMinor };
  const { balance, debtRecovered } = credit(back, amountMinor);
  const data = { ...draft.common, withdrawalId, amountMinor, debtRecovered, reason, balance };
  return accept(fails ? { type: 'WithdrawalFailed', data } : { type: 'WithdrawalReturned', data });
}

const notFound = (id: string) => refuse('not-found', 'WITHDRAWAL_NOT_FOUND', `there is no withdrawal ${id}`);

const notOpen = (id: string, { status }: Withdrawal) =>
  refuse('precondition', 'WITHDRAWAL_NOT_OPEN', `withdrawal ${id} is ${status}`);
