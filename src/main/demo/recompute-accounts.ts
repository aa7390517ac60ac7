/**
 * Balances and statements from the amounts in account events. The balance that those events carry is not looked at:
 * it is one of the things under test.
 */
import type { DomainEvent } from '../../domain/events.ts';
import { keyOf, rowOf, type Table } from './table.ts';

interface Account {
  pending: bigint;
  available: bigint;
  reserved: bigint;
  paid: bigint;
  debt: bigint;
  accrued: bigint;
  reversed: bigint;
  adjusted: bigint;
  orphans: bigint;
  frozen: boolean;
  changedAt: Date | undefined;
  revision: number;
  readonly member: string;
  readonly currency: string;
  readonly entries: Set<string>;
}

export interface AccountTables {
  readonly balances: Table;
  readonly statements: Table;
}

export function accountRecomputation() {
  const accounts = new Map<string, Account>();
  const statements: Table = new Map();

  const accountOf = (member: string, currency: string): Account => {
    const key = keyOf(member, currency);
    let account = accounts.get(key);
    if (!account) {
      account = {
        pending: 0n,
        available: 0n,
        reserved: 0n,
        paid: 0n,
        debt: 0n,
        accrued: 0n,
        reversed: 0n,
        adjusted: 0n,
        orphans: 0n,
        frozen: false,
        changedAt: undefined,
        revision: -1,
        member,
        currency,
        entries: new Set(),
      };
      accounts.set(key, account);
    }
    return account;
  };

  return {
    add(event: DomainEvent, revision: number): void {
      const { data } = event;
      // Of all events only an account's have a member of their own.
      if (!('member' in data)) return;
      const account = accountOf(data.member, data.currency);
      account.changedAt = data.occurredAt;
      account.revision = revision;
      const movement = apply(account, event);
      if (!movement) return;
      const { pending, available, reserved, paid, debt } = account;
      statements.set(
        keyOf(data.member, data.currency, revision),
        rowOf({
          at: data.occurredAt,
          kind: event.type,
          ...movement,
          pending,
          available,
          reserved,
          paid,
          debt,
        }),
      );
    },
    tables(): AccountTables {
      const balances: Table = new Map();
      for (const [key, { entries, orphans, frozen, changedAt, revision, ...a }] of accounts) {
        const { pending, available, reserved, paid, debt, accrued, reversed, adjusted } = a;
        const money = { pending, available, reserved, paid, debt, accrued, reversed, adjusted };
        balances.set(key, rowOf({ ...money, entries: entries.size, orphans, frozen, changedAt, revision }));
      }
      return { balances, statements };
    },
  };
}

interface Movement extends Record<string, string | bigint> {
  reference: string;
  merchant: string;
  amount: bigint;
}

/** Changes the account; undefined for events that move no money. */
function apply(account: Account, { type, data }: DomainEvent): Movement | undefined {
  switch (type) {
    case 'RebateAccrued':
      account.entries.add(data.entryId);
      account.accrued += data.amountMinor;
      account.pending += data.toPending;
      account.available += data.toAvailable;
      account.debt -= data.debtRecovered;
      return { reference: data.entryId, merchant: data.merchant, amount: data.amountMinor };
    case 'RebateReversed':
    case 'ReturnTaken': {
      account.reversed += data.amountMinor;
      account.pending -= data.fromPending;
      account.available -= data.fromAvailable;
      account.debt += data.toDebt;
      if (type === 'RebateReversed')
        return { reference: data.entryId, merchant: data.merchant, amount: -data.amountMinor };
      for (const line of data.lines) account.orphans += line.orphanQuantity;
      return { reference: data.returnId, merchant: data.merchant, amount: -data.amountMinor };
    }
    case 'RebateReleased':
      account.pending -= data.amountMinor;
      account.available += data.amountMinor - data.debtRecovered;
      account.debt -= data.debtRecovered;
      return { reference: '', merchant: '', amount: data.amountMinor };
    case 'WithdrawalRequested':
      account.available -= data.amountMinor;
      account.reserved += data.amountMinor;
      return { reference: data.withdrawalId, merchant: '', amount: -data.amountMinor };
    case 'WithdrawalSettled':
      account.reserved -= data.amountMinor;
      account.paid += data.amountMinor;
      return { reference: data.withdrawalId, merchant: '', amount: -data.amountMinor };
    case 'WithdrawalFailed':
    case 'WithdrawalReturned':
      if (type === 'WithdrawalFailed') account.reserved -= data.amountMinor;
      else account.paid -= data.amountMinor;
      account.available += data.amountMinor - data.debtRecovered;
      account.debt -= data.debtRecovered;
      return { reference: data.withdrawalId, merchant: '', amount: data.amountMinor };
    case 'BalanceAdjusted':
      account.adjusted += data.amountMinor;
      // Of a credit a part pays debt; of a debit a part becomes debt. The rest is the member's, or was.
      account.debt += data.toDebt - data.debtRecovered;
      account.available += data.amountMinor - data.debtRecovered + data.toDebt;
      return { reference: data.adjustmentId, merchant: '', amount: data.amountMinor };
    case 'AccountFrozen':
      account.frozen = true;
      return undefined;
    case 'AccountUnfrozen':
      account.frozen = false;
      return undefined;
    default:
      return undefined;
  }
}
