/** Balances and statements, from the amounts that move; the balance that events carry is only compared. */
import type { AccountBalance } from '../../../src/gen/tallyback/events/v1/account.ts';
import type { StoredEvent } from '../log.ts';
import { type Expected, keyText, type Row } from './rows.ts';

const nothing = (): AccountBalance => ({
  pending: 0n,
  available: 0n,
  reserved: 0n,
  paid: 0n,
  debt: 0n,
  accrued: 0n,
  reversed: 0n,
  adjusted: 0n,
});

export interface Accounts {
  readonly balance: Expected;
  readonly statement: Expected;
  /** What all accounts together have earned and kept. */
  readonly earned: bigint;
  readonly violations: readonly string[];
}

export function recomputeAccounts(log: readonly StoredEvent[]): Accounts {
  const money = new Map<string, AccountBalance>();
  const entries = new Map<string, Set<string>>();
  const balances = new Map<string, Row>();
  const statements = new Map<string, Row>();
  const violations: string[] = [];
  for (const event of log) {
    if (!('member' in event.data)) continue;
    const { member, currency, balance: stated, occurredAt } = event.data;
    const account = keyText(member, currency);
    const held = money.get(account) ?? nothing();
    money.set(account, held);
    const entriesOf = entries.get(account) ?? new Set();
    entries.set(account, entriesOf);
    if (event.type === 'RebateAccrued') entriesOf.add(event.data.entryId);

    const movement = move(held, event);
    const { pending, available, reserved, paid, debt, accrued, reversed, adjusted } = held;
    const at = `account ${account} at revision ${event.revision}`;
    for (const [name, amount] of Object.entries(held)) {
      if (amount !== stated?.[name as keyof AccountBalance])
        violations.push(
          `${at}: the event says ${name} ${stated?.[name as keyof AccountBalance]}, not ${amount}`,
        );
    }
    if (accrued - reversed + adjusted !== pending + available + reserved + paid - debt)
      violations.push(`${at}: money is not conserved`);
    if ([pending, available, reserved, paid, debt].some((amount) => amount < 0n))
      violations.push(`${at}: an amount below zero`);

    const after = { pending, available, reserved, paid, debt };
    balances.set(account, {
      ...named(held, '_minor'),
      entry_count: BigInt(entriesOf.size),
      orphan_units: 0n,
      frozen: false,
      changed_at: occurredAt,
      revision: BigInt(event.revision),
    });
    if (movement)
      statements.set(keyText(member, currency, event.revision), {
        occurred_at: occurredAt,
        kind: event.type,
        ...movement,
        ...named(after, '_after_minor'),
      });
  }
  const earned = [...money.values()].reduce((sum, { accrued, reversed }) => sum + accrued - reversed, 0n);
  return {
    balance: { key: ['member', 'currency'], rows: balances },
    statement: { key: ['member', 'currency', 'revision'], rows: statements },
    earned,
    violations,
  };
}

const named = (amounts: object, suffix: string): Row =>
  Object.fromEntries(Object.entries(amounts).map(([name, amount]) => [name + suffix, amount]));

const movement = (reference: string, merchant: string, amount_minor: bigint): Row => ({
  reference,
  merchant,
  amount_minor,
});

/** Changes what is held; answers what a statement says of it, if anything moved. */
function move(held: AccountBalance, { type, data }: StoredEvent): Row | undefined {
  switch (type) {
    case 'RebateAccrued':
      held.accrued += data.amountMinor;
      held.pending += data.toPending;
      held.available += data.toAvailable;
      held.debt -= data.debtRecovered;
      return movement(data.entryId, data.merchant, data.amountMinor);
    case 'RebateReversed':
      held.reversed += data.amountMinor;
      held.pending -= data.fromPending;
      held.available -= data.fromAvailable;
      held.debt += data.toDebt;
      return movement(data.entryId, data.merchant, -data.amountMinor);
    case 'RebateReleased':
      held.pending -= data.amountMinor;
      held.available += data.amountMinor - data.debtRecovered;
      held.debt -= data.debtRecovered;
      return movement('', '', data.amountMinor);
    case 'WithdrawalRequested':
      held.available -= data.amountMinor;
      held.reserved += data.amountMinor;
      return movement(data.withdrawalId, '', -data.amountMinor);
    case 'WithdrawalSettled':
      held.reserved -= data.amountMinor;
      held.paid += data.amountMinor;
      return movement(data.withdrawalId, '', -data.amountMinor);
    case 'WithdrawalFailed':
      held.reserved -= data.amountMinor;
      held.available += data.amountMinor - data.debtRecovered;
      held.debt -= data.debtRecovered;
      return movement(data.withdrawalId, '', data.amountMinor);
    case 'BalanceAdjusted':
      held.adjusted += data.amountMinor;
      held.available += data.amountMinor - data.debtRecovered + data.toDebt;
      held.debt += data.toDebt - data.debtRecovered;
      return movement(data.adjustmentId, '', data.amountMinor);
    default:
      return undefined;
  }
}
