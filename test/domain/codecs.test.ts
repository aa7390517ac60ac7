/** Every event survives both of its encodings. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeEvent } from '../../src/domain/codec.ts';
import { eventCodecs, type DomainEvent, type EventType } from '../../src/domain/events.ts';
import { itemAggregate } from '../../src/domain/item/index.ts';
import { accountAggregate } from '../../src/domain/account/index.ts';
import { orderAggregate } from '../../src/domain/order/index.ts';
import { programmeAggregate } from '../../src/domain/programme/index.ts';
import type { Aggregate } from '../../src/domain/aggregate.ts';
import { history } from './account-histories.ts';
import { reports } from './order-reports.ts';
import { ReleaseOn } from '../../src/gen/tallyback/events/v1/programme.ts';
import {
  adjust,
  confirmEntry,
  day,
  earn100,
  freeze,
  line,
  ofEntry,
  publish,
  reportReturn,
  returnLines,
  settle,
  takeReturn,
  track,
  undo,
  unfreeze,
  withdraw,
} from './samples.ts';

/** What all codecs have in common, for an event of any type. */
interface Codec {
  encode(message: unknown): { finish(): Uint8Array };
  decode(bytes: Uint8Array): unknown;
  toJSON(message: unknown): unknown;
  fromJSON(json: unknown): unknown;
}

function expectRoundTrip(event: DomainEvent): void {
  const codec: Codec = eventCodecs[event.type];
  expect(codec.decode(codec.encode(event.data).finish())).toEqual(event.data);
  const text = JSON.stringify(codec.toJSON(event.data));
  expect(codec.fromJSON(JSON.parse(text))).toEqual(event.data);
}

/** The events of accepted commands, checked as they come. */
function run<State, Command>(
  aggregate: Aggregate<State, Command>,
  commands: readonly Command[],
): Set<EventType> {
  let state = aggregate.initial();
  const seen = new Set<EventType>();
  for (const command of commands) {
    const decision = aggregate.decide(state, command);
    if (decision.kind === 'refused') continue;
    for (const event of decision.events) {
      expectRoundTrip(event);
      seen.add(event.type);
      state = aggregate.evolve(state, event);
    }
  }
  return seen;
}

test('events of accounts and orders', () => {
  const seen = new Set<EventType>();
  fc.assert(
    fc.property(history, reports, (commands, orderReports) => {
      for (const type of run(accountAggregate, commands)) seen.add(type);
      for (const type of run(orderAggregate, orderReports)) seen.add(type);
    }),
  );
  expect(seen).toContain('RebateAccrued');
  expect(seen).toContain('OrderAmended');
});

test('events of an account that the histories seldom have', () => {
  const held = earn100({ releaseOn: ReleaseOn.CONFIRMED });
  const seen = run(accountAggregate, [
    held,
    confirmEntry(),
    withdraw(),
    undo('fail-withdrawal'),
    withdraw({ withdrawalId: 'w2' }),
    settle('w2'),
    undo('return-withdrawal', day(60), 'w2'),
    takeReturn({ at: day(61) }),
    ofEntry('decline-entry', day(62)),
    adjust(),
    freeze(),
    unfreeze(),
  ]);
  expect(seen.size).toBe(12);
});

test('events of documents, programmes and items', () => {
  const minus = line({ unitPrice: '0.000001', quantity: 2n ** 62n });
  const document = { source: 'web', externalId: 'S1', at: day(1), merchant: 'shop' };
  run(orderAggregate, [track({ lines: [line(), { ...minus, lineNo: 2 }] }), returnLines()]);
  run(orderAggregate, [reportReturn()]);
  run(orderAggregate, [
    {
      kind: 'report-stock-adjustment',
      ...document,
      lines: [{ lineNo: 1, sku: 'é', delta: -5n, reason: '' }],
    },
  ]);
  run(programmeAggregate, [
    publish({ validUntil: day(9), priority: -1 }),
    { kind: 'retire-rule-set', merchant: 'shop', at: day(0), version: 1, retiredAt: day(4) },
  ]);
  const of = { merchant: 'shop', sku: 'mug', at: day(0) };
  const seen = run(itemAggregate, [
    { kind: 'receive', ...of, quantity: 9n, reference: 'd1' },
    { kind: 'define', ...of, allowNegative: false },
    { kind: 'reserve', ...of, reservationId: 'r1', quantity: 2n },
    { kind: 'reserve', ...of, reservationId: 'r2', quantity: 2n },
    { kind: 'commit', ...of, reservationId: 'r1' },
    { kind: 'release', ...of, reservationId: 'r2' },
    { kind: 'sell', ...of, quantity: 1n, orderId: 'web~A1' },
    { kind: 'take-back', ...of, quantity: 1n, orderId: 'web~A1' },
    { kind: 'adjust', ...of, delta: -1n, reason: 'broken', reference: 'S1' },
  ]);
  expect(seen.size).toBe(8);
});

test('a changed copy of an event that was decoded before is decoded for itself', () => {
  const stored = { type: 'tallyback.events.v1.CommandRefused', data: '{"reason":"ONE"}' };
  expect(decodeEvent(stored).data).toMatchObject({ reason: 'ONE' });
  expect(decodeEvent({ ...stored, data: '{"reason":"TWO"}' }).data).toMatchObject({ reason: 'TWO' });
});
