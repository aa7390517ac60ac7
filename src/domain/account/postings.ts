/** Every account event as balanced postings: the member's sub-accounts, and our side of each movement. */
import type { AccountEvent } from './state.ts';

export type LedgerAccount =
  /** What rebates cost us. */
  | 'rebate_expense'
  /** What we owe the member: held back, free to withdraw, in a withdrawal under way. */
  | 'member_pending'
  | 'member_available'
  | 'member_reserved'
  /** What the member owes us. */
  | 'member_debt'
  | 'bank'
  /** What corrections by hand cost us. */
  | 'adjustment';

/** One leg; debits are positive, credits negative, minor units. The legs of an event sum to 0. */
export interface Posting {
  readonly account: LedgerAccount;
  readonly amountMinor: bigint;
}

/** The legs that are not 0, in a fixed order; none for an event that moves nothing. */
export function postings(event: AccountEvent): readonly Posting[] {
  switch (event.type) {
    case 'RebateAccrued': {
      const { amountMinor, toPending, toAvailable, debtRecovered } = event.data;
      return legs({
        rebate_expense: amountMinor,
        member_pending: -toPending,
        member_available: -toAvailable,
        member_debt: -debtRecovered,
      });
    }
    case 'RebateReversed':
    case 'ReturnTaken': {
      const { amountMinor, fromPending, fromAvailable, toDebt } = event.data;
      return legs({
        rebate_expense: -amountMinor,
        member_pending: fromPending,
        member_available: fromAvailable,
        member_debt: toDebt,
      });
    }
    case 'RebateReleased': {
      const { amountMinor, debtRecovered } = event.data;
      return legs({ member_pending: amountMinor, ...given(amountMinor, debtRecovered) });
    }
    case 'WithdrawalRequested':
      return legs({ member_available: event.data.amountMinor, member_reserved: -event.data.amountMinor });
    case 'WithdrawalSettled':
      return legs({ member_reserved: event.data.amountMinor, bank: -event.data.amountMinor });
    case 'WithdrawalFailed': {
      const { amountMinor, debtRecovered } = event.data;
      return legs({ member_reserved: amountMinor, ...given(amountMinor, debtRecovered) });
    }
    case 'WithdrawalReturned': {
      const { amountMinor, debtRecovered } = event.data;
      return legs({ bank: amountMinor, ...given(amountMinor, debtRecovered) });
    }
    case 'BalanceAdjusted': {
      const { amountMinor, debtRecovered, toDebt } = event.data;
      return legs({
        adjustment: amountMinor,
        member_available: -(amountMinor - debtRecovered + toDebt),
        member_debt: toDebt - debtRecovered,
      });
    }
    case 'RebateConfirmed':
    case 'AccountFrozen':
    case 'AccountUnfrozen':
    case 'CommandRefused':
    case 'CommandUnchanged':
      return [];
  }
}

/** The member's side of an amount that is given: debt first. */
const given = (amountMinor: bigint, debtRecovered: bigint) => ({
  member_available: -(amountMinor - debtRecovered),
  member_debt: -debtRecovered,
});

const LEDGER_ACCOUNTS: readonly LedgerAccount[] = [
  'rebate_expense',
  'member_pending',
  'member_available',
  'member_reserved',
  'member_debt',
  'bank',
  'adjustment',
];

const legs = (amounts: Partial<Record<LedgerAccount, bigint>>): Posting[] =>
  LEDGER_ACCOUNTS.map((account) => ({ account, amountMinor: amounts[account] ?? 0n })).filter(
    ({ amountMinor }) => amountMinor !== 0n,
  );
