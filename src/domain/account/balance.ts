/** Movements of money within a balance. They keep: nothing negative, and never available and debt at once. */
import { fitsInt64, minBigint } from '../money.ts';
import type { AccountBalance } from '../../gen/tallyback/events/v1/account.ts';

/** An amount that a change moves, split by where the changed lines are. */
export interface Split {
  /** Of lines that are held. */
  readonly held: bigint;
  /** Of lines that have been released. */
  readonly released: bigint;
}

export interface Credited {
  readonly balance: AccountBalance;
  /** The part that paid debt; the rest became available. */
  readonly debtRecovered: bigint;
}

export interface Debited {
  readonly balance: AccountBalance;
  /** The part that was not there to take. */
  readonly toDebt: bigint;
}

/** Gives the member an amount: debt is paid first. */
export function credit(balance: AccountBalance, amount: bigint): Credited {
  const debtRecovered = minBigint(balance.debt, amount);
  return {
    balance: {
      ...balance,
      debt: balance.debt - debtRecovered,
      available: balance.available + amount - debtRecovered,
    },
    debtRecovered,
  };
}

/** Takes an amount from what is available; the rest is owed. */
export function debit(balance: AccountBalance, amount: bigint): Debited {
  const taken = minBigint(balance.available, amount);
  const toDebt = amount - taken;
  return {
    balance: { ...balance, available: balance.available - taken, debt: balance.debt + toDebt },
    toDebt,
  };
}

export const accrue = (balance: AccountBalance, { held, released }: Split): Credited =>
  credit(
    { ...balance, pending: balance.pending + held, accrued: balance.accrued + held + released },
    released,
  );

export const reverse = (balance: AccountBalance, { held, released }: Split): Debited =>
  debit(
    { ...balance, pending: balance.pending - held, reversed: balance.reversed + held + released },
    released,
  );

export const release = (balance: AccountBalance, amount: bigint): Credited =>
  credit({ ...balance, pending: balance.pending - amount }, amount);

export const balanceFits = (balance: AccountBalance): boolean =>
  fitsInt64(balance.pending) &&
  fitsInt64(balance.available) &&
  fitsInt64(balance.reserved) &&
  fitsInt64(balance.paid) &&
  fitsInt64(balance.debt) &&
  fitsInt64(balance.accrued) &&
  fitsInt64(balance.reversed) &&
  fitsInt64(balance.adjusted);
