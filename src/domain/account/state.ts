/**
 * A member's rebates in one currency.
 *
 *     line         held ──hold passed, condition holds──▶ released        (never back)
 *     entry        counts ◀──restored── ──declined──▶ declined            (its lines are kept, at rebate 0)
 *     withdrawal   requested ──▶ settled ──▶ returned,  requested ──▶ failed
 *
 * The rebate of a line is 0 in a declined entry, else the floor formula of the units that count. What a line's
 * changes move depends on the line alone: a held one moves pending, a released one available and debt.
 * How events change it is in `evolve.ts`.
 */
import type { DomainEvent } from '../events.ts';
import type { AccountBalance } from '../../gen/tallyback/events/v1/account.ts';
import type { ReleaseOn } from '../../gen/tallyback/events/v1/programme.ts';

export type AccountEventType =
  | 'RebateAccrued'
  | 'RebateReversed'
  | 'RebateConfirmed'
  | 'RebateReleased'
  | 'ReturnTaken'
  | 'WithdrawalRequested'
  | 'WithdrawalSettled'
  | 'WithdrawalFailed'
  | 'WithdrawalReturned'
  | 'BalanceAdjusted'
  | 'AccountFrozen'
  | 'AccountUnfrozen'
  | 'CommandRefused'
  | 'CommandUnchanged';
export type AccountEvent = DomainEvent<AccountEventType>;

export interface AccountLine {
  readonly entry: AccountEntry;
  readonly lineNo: number;
  readonly sku: string;
  unitPrice: string;
  /** The unit price by value, for matching. */
  priceMicros: bigint;
  /** Units that count now: what the order says, less those taken. */
  quantity: bigint;
  /** Units that returns without an order took from this line. */
  taken: bigint;
  /** Minor units. */
  rebate: bigint;
  readonly rateBps: number;
  readonly ruleSetVersion: number;
  readonly ruleId: string;
  /** Milliseconds since 1970, as is maturesAt. */
  readonly orderedAt: number;
  readonly maturesAt: number;
  released: boolean;
  /**
   * An amendment took the line to 0: the order has no such purchase now. It counts again only if it is
   * evaluated anew, while a line of which everything came back still follows its order.
   */
  removed: boolean;
}

export interface AccountEntry {
  readonly entryId: string;
  /** Entries in the order in which the account came to know them. */
  readonly seq: number;
  readonly merchant: string;
  readonly releaseOn: ReleaseOn;
  /** Whether releaseOn is fulfilled (always so when the hold alone counts). */
  releasedBySource: boolean;
  declined: boolean;
  readonly lines: Map<number, AccountLine>;
  /** The least maturesAt of the lines that are held; Infinity: none is. */
  nextDue: number;
}

export interface Withdrawal {
  readonly amountMinor: bigint;
  readonly status: 'requested' | 'settled' | 'failed' | 'returned';
}

export interface AccountState {
  balance: AccountBalance;
  readonly entries: Map<string, AccountEntry>;
  /** Index: entries with held lines whose condition holds. Only time keeps those lines. */
  readonly maturing: Set<AccountEntry>;
  /** Index: the lines of one SKU at one merchant (`shelfKey`), oldest first. */
  readonly shelves: Map<string, AccountLine[]>;
  readonly withdrawals: Map<string, Withdrawal>;
  /** Return id to the fingerprint of its lines. */
  readonly returns: Map<string, string>;
  /** Adjustment id to the fingerprint of the adjustment. */
  readonly adjustments: Map<string, string>;
  frozen: boolean;
}

const emptyBalance = (): AccountBalance => ({
  pending: 0n,
  available: 0n,
  reserved: 0n,
  paid: 0n,
  debt: 0n,
  accrued: 0n,
  reversed: 0n,
  adjusted: 0n,
});

export const initialAccount = (): AccountState => ({
  balance: emptyBalance(),
  entries: new Map(),
  maturing: new Set(),
  shelves: new Map(),
  withdrawals: new Map(),
  returns: new Map(),
  adjustments: new Map(),
  frozen: false,
});
