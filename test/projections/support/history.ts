/** Random events that touch all read models: few members, items and orders, so that rows are hit often. */
import fc from 'fast-check';
import { accountStream, itemStream, orderStream, programmeStream } from '../../../src/domain/streams.ts';
import type { DomainEvent } from '../../../src/domain/events.ts';
import { RebateCause } from '../../../src/gen/tallyback/events/v1/account.ts';
import { noStream, type EventStore } from '../../../src/eventstore/port.ts';
import {
  day,
  event,
  header,
  held,
  level,
  newEvent,
  orderLine,
  rebateChange,
  rebateLine,
  takenLine,
} from './events.ts';

export interface Happening {
  readonly stream: string;
  readonly event: DomainEvent;
}

const amount = fc.bigInt(0n, 1n << 40n);
const small = fc.bigInt(0n, 9n);
/** Half of them on the hour, where windows begin. */
const time = fc.oneof(
  fc.integer({ min: 0, max: 24 * 40 }).map((hour) => day(hour / 24)),
  fc.integer({ min: 0, max: 40 * 86_400_000 }).map((ms) => day(ms / 86_400_000)),
);
const name = fc.constantFrom('ann', 'bob "the\\mug"', 'çelik,{}', 'NULL', '');
const merchant = fc.constantFrom('shop', 'store');
const currency = fc.constantFrom('GBP', 'EUR');

const accountHappening: fc.Arbitrary<Happening> = fc
  .record({
    member: name,
    currency,
    occurredAt: time,
    merchant,
    amountMinor: amount,
    at: time,
    small,
    kind: fc.nat(6),
  })
  .map(({ kind, at, small: units, ...data }) => {
    const whose = { ...data, balance: held({ available: data.amountMinor, debt: units }) };
    const made = ((): DomainEvent => {
      switch (kind) {
        case 0:
        case 1:
          return event('RebateAccrued', {
            ...whose,
            entryId: `web~${units}`,
            cause: kind === 0 ? RebateCause.TRACKED : RebateCause.AMENDED,
            opensEntry: kind === 0,
            lines: [rebateLine({ rebateMinor: data.amountMinor, orderedAt: at })],
            changes: [rebateChange({ rebateBefore: units, rebateAfter: units + 1n })],
          });
        case 2:
          return event('RebateReversed', { ...whose, entryId: `web~${units}` });
        case 3:
          return event('ReturnTaken', { ...whose, lines: [takenLine({ orphanQuantity: units })] });
        case 4:
          return event('RebateReleased', whose);
        case 5:
          return event('AccountFrozen', whose);
        default:
          return event('WithdrawalRequested', { ...whose, withdrawalId: `w${units}` });
      }
    })();
    return { stream: accountStream(data.member, data.currency), event: made };
  });

const orderHappening: fc.Arbitrary<Happening> = fc
  .record({
    id: small,
    occurredAt: time,
    merchant,
    currency,
    member: name,
    amount,
    at: time,
    units: small,
    kind: fc.nat(5),
  })
  .map(({ id, occurredAt, at, kind, units, amount: amountMinor, ...whose }) => {
    const externalId = `A${id}`;
    const line = orderLine({
      lineNo: Number(units),
      quantity: units,
      amountMinor,
      orderedAt: at,
      service: kind === 1,
    });
    const data = { header: header({ externalId, ...whose }), occurredAt };
    const made = ((): DomainEvent => {
      switch (kind) {
        case 0:
        case 1:
          return event('OrderTracked', { ...data, sourceVersion: id, lines: [line], amountMinor });
        case 2:
          return event('OrderAmended', {
            ...data,
            changes: [{ before: line, after: orderLine({ orderedAt: occurredAt }), returnedQuantity: units }],
          });
        case 3:
          return event('LinesReturned', {
            ...data,
            returnId: 'r',
            lines: [{ line, quantity: units, keptQuantity: 0n, refundMinor: amountMinor }],
          });
        case 4:
          return event('OrderDeclined', { ...data, reason: 'a "reason"' });
        default:
          return event('StockAdjustmentReported', { ...data, lines: [] });
      }
    })();
    return { stream: orderStream('web', externalId), event: made };
  });

const itemHappening: fc.Arbitrary<Happening> = fc
  .record({ merchant, sku: name, quantity: small, occurredAt: time, sold: fc.boolean() })
  .map(({ merchant: shop, sku, sold, ...data }) => ({
    stream: itemStream(shop, sku),
    event: event(sold ? 'StockSold' : 'StockTakenBack', { ...data, level: level({ merchant: shop, sku }) }),
  }));

const otherHappening: fc.Arbitrary<Happening> = fc
  .record({ version: fc.integer({ min: 1, max: 9 }), at: time })
  .map(({ version, at }) =>
    version > 5
      ? { stream: 'account-refused', event: event('CommandRefused', { reason: 'NO' }) }
      : {
          stream: programmeStream('shop'),
          event: event('RuleSetPublished', { merchant: 'shop', version, validFrom: at, occurredAt: at }),
        },
  );

export const happening: fc.Arbitrary<Happening> = fc.oneof(
  { arbitrary: accountHappening, weight: 4 },
  { arbitrary: orderHappening, weight: 4 },
  { arbitrary: itemHappening, weight: 2 },
  { arbitrary: otherHappening, weight: 1 },
);

/** The same ones every time. */
export const someHistory = (length: number, seed: number): Happening[] =>
  fc.sample(fc.array(happening, { minLength: length, maxLength: length, size: 'max' }), {
    numRuns: 1,
    seed,
  })[0] ?? [];

/** Appends to a store, knowing where the streams end. */
export class Historian {
  readonly #store: EventStore;
  readonly #ends = new Map<string, number>();

  constructor(store: EventStore) {
    this.#store = store;
  }

  /** In this order, a run of events of one stream at a time. Answers the last position. */
  async append(happenings: readonly Happening[]): Promise<bigint> {
    let last = 0n;
    for (let i = 0; i < happenings.length;) {
      const stream = happenings[i]?.stream ?? '';
      const run: Happening[] = [];
      for (let next = happenings[i]; next?.stream === stream; next = happenings[++i]) run.push(next);
      const end = this.#ends.get(stream) ?? noStream;
      const result = await this.#store.append(
        stream,
        end,
        run.map((one) => newEvent(one.event)),
      );
      if (result.kind !== 'appended') throw new Error(`not appended: ${result.kind}`);
      this.#ends.set(stream, end + run.length);
      last = result.position.commit;
    }
    return last;
  }
}
