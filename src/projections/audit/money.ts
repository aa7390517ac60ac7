/**
 * Money by double entry. What the log says is added up from the amounts in account events alone, as postings: neither
 * the balances that events carry nor the fold of the read model have a part in it.
 */
import { type AccountEvent, type LedgerAccount, postings } from '../../domain/account/index.ts';
import { decodeEvent, storedTypeName } from '../../domain/codec.ts';
import type { DomainEvent } from '../../domain/events.ts';
import type { RecordedEvent } from '../../eventstore/port.ts';
import { balance, type BalanceRow } from '../balance/balance.ts';
import { type Difference, keyTexts } from './difference.ts';
import type { Key } from '../engine/read-model.ts';

/** Debits less credits, in minor units. Of everything together they are 0. */
export type Ledger = Readonly<Record<LedgerAccount, bigint>>;

/** What is added up of rows to know their ledger. */
export type Holdings = Pick<
  BalanceRow,
  | 'pending_minor'
  | 'available_minor'
  | 'reserved_minor'
  | 'paid_minor'
  | 'debt_minor'
  | 'accrued_minor'
  | 'reversed_minor'
  | 'adjusted_minor'
>;

export const emptyLedger: Ledger = {
  rebate_expense: 0n,
  member_pending: 0n,
  member_available: 0n,
  member_reserved: 0n,
  member_debt: 0n,
  bank: 0n,
  adjustment: 0n,
};

/** The ledger that rows of balances speak of. */
export const ledgerOf = (held: Holdings): Ledger => ({
  rebate_expense: held.accrued_minor - held.reversed_minor,
  member_pending: -held.pending_minor,
  member_available: -held.available_minor,
  member_reserved: -held.reserved_minor,
  member_debt: held.debt_minor,
  bank: -held.paid_minor,
  adjustment: held.adjusted_minor,
});

type MoneyEvent = DomainEvent<(typeof balance.handles)[number]>;

const moneyTypes = new Set(balance.handles.map(storedTypeName));
const isMoneyEvent = (event: DomainEvent): event is MoneyEvent => moneyTypes.has(storedTypeName(event.type));

/** The event, if it is of an account and can be read. */
export function readableMoneyEvent(stored: RecordedEvent): MoneyEvent | undefined {
  if (!moneyTypes.has(stored.type)) return undefined;
  try {
    const event = decodeEvent(stored);
    return isMoneyEvent(event) ? event : undefined;
  } catch {
    return undefined;
  }
}

/** The ledger after an event. */
export function posted(ledger: Ledger, event: AccountEvent): Ledger {
  const legs = postings(event);
  if (legs.length === 0) return ledger;
  const after = { ...ledger };
  for (const { account, amountMinor } of legs) after[account] += amountMinor;
  return after;
}

const accounts = Object.keys(emptyLedger) as readonly LedgerAccount[];

/** Where what is stored is not what the amounts say, and whether these themselves are balanced. */
export function ledgerDifferences(key: Key, stored: Ledger, right: Ledger): readonly Difference[] {
  const found: Difference[] = [];
  const add = (column: string, a: bigint, b: bigint): void => {
    if (a !== b) found.push({ key: keyTexts(key), column, stored: String(a), right: String(b) });
  };
  for (const account of accounts) add(`amounts: ${account}`, stored[account], right[account]);
  add(
    'amounts: sum of all entries',
    accounts.reduce((sum, account) => sum + right[account], 0n),
    0n,
  );
  return found;
}

/** How far two ledgers are apart: 0 only if they agree in everything. */
export const imbalance = (stored: Ledger, right: Ledger): bigint =>
  accounts.reduce((sum, account) => {
    const apart = stored[account] - right[account];
    return sum + (apart < 0n ? -apart : apart);
  }, 0n);

export function plus(a: Ledger, b: Ledger): Ledger {
  const sum = { ...a };
  for (const account of accounts) sum[account] += b[account];
  return sum;
}

/** As JSON can hold it. */
export const ledgerTexts = (ledger: Ledger): Record<string, string> =>
  Object.fromEntries(accounts.map((account) => [account, String(ledger[account])]));

export const ledgerFrom = (texts: Readonly<Record<string, string>>): Ledger => {
  const ledger = { ...emptyLedger };
  for (const account of accounts) ledger[account] = BigInt(texts[account] ?? '0');
  return ledger;
};
