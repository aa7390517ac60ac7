/* oxlint-disable vitest/expect-expect -- outcomes assert: see given-when-then.ts */
import { expect, test } from 'vitest';
import { itemAggregate, type ItemCommand, type ItemEvent } from '../../src/domain/item/index.ts';
import { CommandRefused } from '../../src/gen/tallyback/events/v1/command.ts';
import { given } from './given-when-then.ts';
import { day } from './samples.ts';

const of = { merchant: 'shop', sku: 'mug', at: day(0) };
const strict: ItemCommand = { kind: 'define', ...of, allowNegative: false };
const receive = (quantity: bigint): ItemCommand => ({ kind: 'receive', ...of, quantity, reference: 'd1' });
const sell = (quantity: bigint): ItemCommand => ({ kind: 'sell', ...of, quantity, orderId: 'web~A1' });
const takeBack = (quantity: bigint): ItemCommand => ({
  kind: 'take-back',
  ...of,
  quantity,
  orderId: 'web~A1',
});
const adjust = (delta: bigint): ItemCommand => ({ kind: 'adjust', ...of, delta, reason: '', reference: '' });
const reserve = (quantity: bigint, reservationId = 'r1'): ItemCommand => ({
  kind: 'reserve',
  ...of,
  reservationId,
  quantity,
});
const end = (kind: 'commit' | 'release', reservationId = 'r1'): ItemCommand => ({
  kind,
  ...of,
  reservationId,
});

test('an item nobody has defined sells without an opening stock', () => {
  given(itemAggregate)
    .when(sell(3n))
    .thenHappens('StockSold')
    .saying('StockSold', { level: { merchant: 'shop', sku: 'mug', onHand: -3n, reserved: 0n } });
});

test('a strict item writes off only what is there and not promised, but a reported sale is a fact', () => {
  const stocked = [strict, receive(10n), reserve(4n)];
  given(itemAggregate, ...stocked)
    .when(sell(6n))
    .thenHappens('StockSold');
  given(itemAggregate, ...stocked)
    .when(sell(17n))
    .saying('StockSold', { level: expect.objectContaining({ onHand: -7n }) });
  given(itemAggregate, ...stocked)
    .when(adjust(-7n))
    .thenRefused('INSUFFICIENT_STOCK');
  given(itemAggregate, ...stocked)
    .when(takeBack(1n))
    .thenHappens('StockTakenBack');
});

test('an item that is short cannot be made strict', () => {
  given(itemAggregate, sell(1n)).when(strict).thenRefused('INSUFFICIENT_STOCK');
  given(itemAggregate, sell(1n), receive(1n)).when(strict).thenHappens('ItemDefined');
  given(itemAggregate, strict).when(strict).thenNothingHappens();
});

test('what is not there cannot be promised, even if the item may go negative', () => {
  given(itemAggregate, receive(3n)).when(reserve(4n)).thenRefused('INSUFFICIENT_STOCK');
  given(itemAggregate, receive(3n), reserve(2n)).when(reserve(2n, 'r2')).thenRefused('INSUFFICIENT_STOCK');
});

test('a reservation ends once', () => {
  const reserved = [receive(5n), reserve(2n)];
  given(itemAggregate, ...reserved)
    .when(end('commit'))
    .saying('ReservationCommitted', { level: { merchant: 'shop', sku: 'mug', onHand: 3n, reserved: 0n } });
  given(itemAggregate, ...reserved)
    .when(end('release'))
    .saying('ReservationReleased', { level: { merchant: 'shop', sku: 'mug', onHand: 5n, reserved: 0n } });
  given(itemAggregate, ...reserved, end('commit'))
    .when(end('commit'))
    .thenNothingHappens();
  given(itemAggregate, ...reserved, end('commit'))
    .when(end('release'))
    .thenRefused('RESERVATION_ENDED');
  given(itemAggregate).when(end('commit')).thenRefused('RESERVATION_NOT_FOUND', 'not-found');
});

test('a reservation id names one reservation', () => {
  const reserved = [receive(5n), reserve(2n)];
  given(itemAggregate, ...reserved)
    .when(reserve(2n))
    .thenNothingHappens();
  given(itemAggregate, ...reserved)
    .when(reserve(3n))
    .thenRefused('RESERVATION_ID_REUSED', 'already-exists');
});

test('nonsense is refused', () => {
  given(itemAggregate).when(sell(0n)).thenRefused('QUANTITY_NOT_POSITIVE', 'invalid');
  given(itemAggregate).when(adjust(0n)).thenRefused('DELTA_ZERO', 'invalid');
  given(itemAggregate, receive(2n ** 63n - 1n))
    .when(receive(1n))
    .thenRefused('AMOUNT_OVERFLOW', 'invalid');
});

test('a refusal on the record changes nothing', () => {
  const refused: ItemEvent = { type: 'CommandRefused', data: CommandRefused.fromJSON({}) };
  const state = itemAggregate.evolve(itemAggregate.initial(), refused);
  expect(state).toEqual(itemAggregate.initial());
});
