/** Every movement of every account, with what the account held after it. One event, one row, never changed. */
import { present } from '../../domain/aggregate.ts';
import type { DomainEvent } from '../../domain/events.ts';
import { accountStream } from '../../domain/streams.ts';
import { defineReadModel, type RowOf } from '../engine/read-model.ts';

const columns = {
  member: 'text',
  currency: 'text',
  /** Of the account's stream; numbers of events that move nothing are left out. */
  revision: 'bigint',
  occurred_at: 'timestamptz',
  /** The event's type name. */
  kind: 'text',
  /** Order, return, withdrawal or adjustment; empty for releases. */
  reference: 'text',
  merchant: 'text',
  /** Negative for what was taken back, set aside or paid out. */
  amount_minor: 'bigint',
  pending_after_minor: 'bigint',
  available_after_minor: 'bigint',
  reserved_after_minor: 'bigint',
  paid_after_minor: 'bigint',
  debt_after_minor: 'bigint',
} as const;

export type StatementRow = RowOf<typeof columns>;

const handles = [
  'RebateAccrued',
  'RebateReversed',
  'RebateReleased',
  'ReturnTaken',
  'WithdrawalRequested',
  'WithdrawalSettled',
  'WithdrawalFailed',
  'WithdrawalReturned',
  'BalanceAdjusted',
] as const;

export const statement = defineReadModel({
  name: 'statement',
  version: 1,
  table: { columns, key: ['member', 'currency', 'revision'] },
  handles,
  partitionBy: 'stream',
  // Money that is said to be somebody's: better none of it new than some of it wrong.
  onFailure: 'stop',
  appendOnly: true,
  streamOf: ([member, currency]) => accountStream(String(member), String(currency)),
  revisionOf: ([, , revision]) => Number(revision),
  keys: ({ event: { data }, revision }) => [[data.member, data.currency, BigInt(revision)]],
  fold(_, { event, revision }): StatementRow {
    const { data } = event;
    const held = present(data.balance, 'balance');
    return {
      member: data.member,
      currency: data.currency,
      revision: BigInt(revision),
      occurred_at: present(data.occurredAt, 'occurredAt'),
      kind: event.type,
      ...movement(event),
      pending_after_minor: held.pending,
      available_after_minor: held.available,
      reserved_after_minor: held.reserved,
      paid_after_minor: held.paid,
      debt_after_minor: held.debt,
    };
  },
});

type Movement = Pick<StatementRow, 'reference' | 'merchant' | 'amount_minor'>;

function movement({ type, data }: DomainEvent<(typeof handles)[number]>): Movement {
  switch (type) {
    case 'RebateAccrued':
      return { reference: data.entryId, merchant: data.merchant, amount_minor: data.amountMinor };
    case 'RebateReversed':
      return { reference: data.entryId, merchant: data.merchant, amount_minor: -data.amountMinor };
    case 'ReturnTaken':
      return { reference: data.returnId, merchant: data.merchant, amount_minor: -data.amountMinor };
    case 'RebateReleased':
      return { reference: '', merchant: '', amount_minor: data.amountMinor };
    case 'WithdrawalRequested':
    case 'WithdrawalSettled':
      return { reference: data.withdrawalId, merchant: '', amount_minor: -data.amountMinor };
    case 'WithdrawalFailed':
    case 'WithdrawalReturned':
      return { reference: data.withdrawalId, merchant: '', amount_minor: data.amountMinor };
    case 'BalanceAdjusted':
      return { reference: data.adjustmentId, merchant: '', amount_minor: data.amountMinor };
  }
}
