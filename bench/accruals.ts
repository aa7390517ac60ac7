/** Account events as orders of one line leave them: the account adds up, as its balance in every event says. */
import { randomUUID } from 'node:crypto';
import { encodeEvent } from '../src/domain/codec.ts';
import type { DomainEvent } from '../src/domain/events.ts';
import { accountStream } from '../src/domain/streams.ts';
import type { NewEvent } from '../src/eventstore/port.ts';
import { RebateAccrued, RebateCause } from '../src/gen/tallyback/events/v1/account.ts';
import { ReleaseOn } from '../src/gen/tallyback/events/v1/programme.ts';

/** What every accrual adds, in minor units. */
export const accrued = 100n;

export const streamOf = (member: string): string => accountStream(member, 'GBP');

/** The `n`th order of all, of a member for whom it is the one at this revision of the account's stream. */
export function accrual(member: string, n: number, revision = 0): NewEvent {
  const at = new Date(Date.UTC(2026, 0, 1) + n * 1_000);
  const held = accrued * BigInt(revision + 1);
  const event: DomainEvent = {
    type: 'RebateAccrued',
    data: RebateAccrued.fromPartial({
      member,
      currency: 'GBP',
      occurredAt: at,
      entryId: `bench~${n}`,
      merchant: 'bench',
      cause: RebateCause.TRACKED,
      lines: [
        {
          lineNo: 1,
          sku: `sku-${n % 500}`,
          quantity: 2n,
          unitPrice: '10.00',
          amountMinor: 2_000n,
          ruleSetVersion: 1,
          ruleId: 'all',
          rateBps: 500,
          rebateMinor: accrued,
          orderedAt: at,
          maturesAt: at,
        },
      ],
      amountMinor: accrued,
      toPending: accrued,
      releaseOn: ReleaseOn.TRACKED,
      releasedBySource: true,
      balance: { pending: held, accrued: held },
      opensEntry: true,
    }),
  };
  const requestId = randomUUID();
  return {
    id: randomUUID(),
    ...encodeEvent(event),
    metadata: JSON.stringify({ requestId, $correlationId: requestId }),
  };
}
