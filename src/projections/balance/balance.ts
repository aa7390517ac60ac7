/**
 * What every member is owed, per currency. Nearly all of a row is what the account itself said it held after its
 * last event; only counts are added up here.
 */
import { present } from '../../domain/aggregate.ts';
import type { DomainEvent } from '../../domain/events.ts';
import { accountStream } from '../../domain/streams.ts';
import type { AccountBalance } from '../../gen/tallyback/events/v1/account.ts';
import { defineReadModel, type RowOf } from '../engine/read-model.ts';

const columns = {
  member: 'text',
  currency: 'text',
  pending_minor: 'bigint',
  available_minor: 'bigint',
  reserved_minor: 'bigint',
  paid_minor: 'bigint',
  debt_minor: 'bigint',
  accrued_minor: 'bigint',
  reversed_minor: 'bigint',
  adjusted_minor: 'bigint',
  /** Orders that have an entry on the account. */
  entry_count: 'bigint',
  /** Returned units without a purchase. */
  orphan_units: 'bigint',
  frozen: 'boolean',
  /** Business time of the last event. */
  changed_at: 'timestamptz',
  /** Of the account's stream. */
  revision: 'bigint',
} as const;

export type BalanceRow = RowOf<typeof columns>;

type Counts = Pick<BalanceRow, 'entry_count' | 'orphan_units' | 'frozen'>;

const noCounts: Counts = { entry_count: 0n, orphan_units: 0n, frozen: false };

const handles = [
  'RebateAccrued',
  'RebateReversed',
  'RebateConfirmed',
  'RebateReleased',
  'ReturnTaken',
  'WithdrawalRequested',
  'WithdrawalSettled',
  'WithdrawalFailed',
  'WithdrawalReturned',
  'BalanceAdjusted',
  'AccountFrozen',
  'AccountUnfrozen',
] as const;

export type BalanceEventType = (typeof handles)[number];

/** The columns that say what the account holds. */
export const heldIn = (held: AccountBalance) => ({
  pending_minor: held.pending,
  available_minor: held.available,
  reserved_minor: held.reserved,
  paid_minor: held.paid,
  debt_minor: held.debt,
  accrued_minor: held.accrued,
  reversed_minor: held.reversed,
  adjusted_minor: held.adjusted,
});

export const balance = defineReadModel({
  name: 'balance',
  version: 1,
  table: { columns, key: ['member', 'currency'] },
  handles,
  partitionBy: 'stream',
  // Money that is said to be somebody's: better none of it new than some of it wrong.
  onFailure: 'stop',
  streamOf: ([member, currency]) => accountStream(String(member), String(currency)),
  keys: ({ event: { data } }) => [[data.member, data.currency]],
  fold(row, { event, revision }): BalanceRow {
    const { data } = event;
    const held = present(data.balance, 'balance');
    const { entry_count, orphan_units, frozen } = counted(row ?? noCounts, event);
    return {
      member: data.member,
      currency: data.currency,
      ...heldIn(held),
      entry_count,
      orphan_units,
      frozen,
      changed_at: present(data.occurredAt, 'occurredAt'),
      revision: BigInt(revision),
    };
  },
});

function counted(counts: Counts, event: DomainEvent<BalanceEventType>): Counts {
  switch (event.type) {
    case 'RebateAccrued':
      return event.data.opensEntry ? { ...counts, entry_count: counts.entry_count + 1n } : counts;
    case 'ReturnTaken': {
      const orphans = event.data.lines.reduce((sum, line) => sum + line.orphanQuantity, 0n);
      return { ...counts, orphan_units: counts.orphan_units + orphans };
    }
    case 'AccountFrozen':
      return { ...counts, frozen: true };
    case 'AccountUnfrozen':
      return { ...counts, frozen: false };
    case 'RebateReversed':
    case 'RebateConfirmed':
    case 'RebateReleased':
    case 'WithdrawalRequested':
    case 'WithdrawalSettled':
    case 'WithdrawalFailed':
    case 'WithdrawalReturned':
    case 'BalanceAdjusted':
      return counts;
  }
}
