/* oxlint-disable vitest/expect-expect -- outcomes assert: see given-when-then.ts */
import { expect, test } from 'vitest';
import { orderAggregate, type OrderCommand } from '../../src/domain/order/index.ts';
import { OrderStatus } from '../../src/gen/tallyback/events/v1/order.ts';
import { given } from './given-when-then.ts';
import { day, line, reportReturn, reportStatus, returnLines, track } from './samples.ts';

const adjustStock = (delta = -2n): OrderCommand => ({
  kind: 'report-stock-adjustment',
  source: 'web',
  externalId: 'A1',
  at: day(3),
  merchant: 'shop',
  lines: [{ lineNo: 1, sku: 'mug', delta, reason: 'broken' }],
});

test('an order is tracked with its amounts', () => {
  given(orderAggregate)
    .when(track({ lines: [line(), line({ lineNo: 2, quantity: 1n, unitPrice: '0.125' })] }))
    .thenHappens('OrderTracked')
    .saying('OrderTracked', { amountMinor: 2562n, status: OrderStatus.TRACKED, sourceVersion: 1n });
});

test('the same version or an older one changes nothing', () => {
  given(orderAggregate, track()).when(track()).thenNothingHappens();
  given(orderAggregate, track({ sourceVersion: 3n }))
    .when(track({ sourceVersion: 2n, lines: [] }))
    .thenNothingHappens();
});

test('a newer version says what changed', () => {
  const before = [line(), line({ lineNo: 2 }), line({ lineNo: 3 })];
  const after = [line(), line({ lineNo: 2, quantity: 5n }), line({ lineNo: 4 })];
  given(orderAggregate, track({ lines: before }))
    .when(track({ sourceVersion: 2n, lines: after, at: day(9) }))
    .thenHappens('OrderAmended')
    .saying('OrderAmended', {
      amountMinor: 2550n + 1275n + 2550n,
      changes: [
        expect.objectContaining({ before: expect.objectContaining({ lineNo: 2 }), returnedQuantity: 0n }),
        expect.objectContaining({ before: undefined, after: expect.objectContaining({ lineNo: 4 }) }),
        expect.objectContaining({ before: expect.objectContaining({ lineNo: 3 }), after: undefined }),
      ],
    });
});

test('a newer version that changes nothing is kept, so that the versions between are old', () => {
  given(orderAggregate, track())
    .when(track({ sourceVersion: 5n }))
    .saying('OrderAmended', { changes: [], sourceVersion: 5n });
  given(orderAggregate, track(), track({ sourceVersion: 5n }))
    .when(track({ sourceVersion: 4n, lines: [] }))
    .thenNothingHappens();
});

test('an amendment that does not say when a line was ordered does not move its time', () => {
  given(orderAggregate, track())
    .when(track({ sourceVersion: 2n, at: day(40) }))
    .saying('OrderAmended', { changes: [] });
});

test.each([{ merchant: 'other' }, { member: 'bob' }, { currency: 'EUR' }])(
  'whose order it is never changes: %o',
  (over) => {
    given(orderAggregate, track())
      .when(track({ sourceVersion: 2n, ...over }))
      .thenRefused('ORDER_IDENTITY_CHANGED', 'precondition');
  },
);

test('an amendment cannot take away what has come back', () => {
  const past = [track(), returnLines()];
  given(orderAggregate, ...past)
    .when(track({ sourceVersion: 2n, lines: [line({ quantity: 3n })] }))
    .thenRefused('RETURNED_EXCEEDS_BOUGHT');
  given(orderAggregate, ...past)
    .when(track({ sourceVersion: 2n, lines: [] }))
    .thenRefused('RETURNED_EXCEEDS_BOUGHT');
  given(orderAggregate, ...past)
    .when(track({ sourceVersion: 2n, lines: [line({ quantity: 4n })] }))
    .saying('OrderAmended', { changes: [expect.objectContaining({ returnedQuantity: 4n })] });
});

test.each([
  ['DUPLICATE_LINE', [line(), line()]],
  ['QUANTITY_NOT_POSITIVE', [line({ quantity: 0n })]],
  ['PRICE_FORMAT', [line({ unitPrice: '-1' })]],
  ['AMOUNT_OVERFLOW', [line({ unitPrice: '99999999999999999' })]],
  ['AMOUNT_OVERFLOW', [line({ quantity: 2n ** 63n, unitPrice: '0' })]],
])('lines are checked: %s', (reason, lines) => {
  given(orderAggregate).when(track({ lines })).thenRefused(reason, 'invalid');
  given(orderAggregate).when(reportReturn({ lines })).thenRefused(reason, 'invalid');
});

test('the newest status counts, whatever the status', () => {
  given(orderAggregate, track(), reportStatus('decline', 2n))
    .when(reportStatus('confirm', 1n))
    .thenNothingHappens();
  given(orderAggregate, track(), reportStatus('decline', 2n))
    .when(reportStatus('confirm', 2n))
    .thenNothingHappens();
  given(orderAggregate, track(), reportStatus('decline', 2n))
    .when(reportStatus('settle', 3n))
    .saying('OrderSettled', { statementId: 's1', sourceVersion: 3n });
  given(orderAggregate, track(), reportStatus('confirm', 1n))
    .when(reportStatus('confirm', 2n))
    .thenHappens('OrderConfirmed');
});

test('a status may overtake its order', () => {
  const unknown = { source: 'web', externalId: 'A1', merchant: '', member: '', currency: '' };
  given(orderAggregate).when(reportStatus('decline', 1n)).saying('OrderDeclined', { header: unknown });
  given(orderAggregate, reportStatus('decline', 1n))
    .when(track())
    .thenHappens('OrderTracked')
    .saying('OrderTracked', { status: OrderStatus.DECLINED });
});

test('an amendment says the status, for accounts that had no entry', () => {
  given(orderAggregate, track(), reportStatus('decline', 1n))
    .when(track({ sourceVersion: 2n, lines: [line({ quantity: 1n })], at: day(9) }))
    .saying('OrderAmended', { status: OrderStatus.DECLINED });
});

test('lines come back once, and never more than were bought', () => {
  given(orderAggregate).when(returnLines()).thenRefused('ORDER_NOT_FOUND', 'not-found');
  given(orderAggregate, reportStatus('confirm', 1n)).when(returnLines()).thenRefused('ORDER_NOT_FOUND');
  given(orderAggregate, track())
    .when(returnLines())
    .saying('LinesReturned', {
      refundMinor: 1020n,
      lines: [expect.objectContaining({ quantity: 4n, keptQuantity: 6n, refundMinor: 1020n })],
    });
  given(orderAggregate, track(), returnLines()).when(returnLines()).thenNothingHappens();
  given(orderAggregate, track(), returnLines())
    .when(returnLines({ lines: [{ lineNo: 1, quantity: 5n }] }))
    .thenRefused('RETURN_ID_REUSED', 'already-exists');
  given(orderAggregate, track(), returnLines())
    .when(returnLines({ returnId: 'R2', lines: [{ lineNo: 1, quantity: 7n }] }))
    .thenRefused('RETURNED_EXCEEDS_BOUGHT');
  given(orderAggregate, track())
    .when(returnLines({ lines: [{ lineNo: 9, quantity: 1n }] }))
    .thenRefused('LINE_NOT_FOUND');
  given(orderAggregate, track())
    .when(returnLines({ lines: [] }))
    .thenRefused('NO_LINES', 'invalid');
});

test('returns and stock adjustments are reported once and do not change', () => {
  given(orderAggregate).when(reportReturn()).saying('ReturnReported', { refundMinor: 1020n });
  given(orderAggregate, reportReturn())
    .when(reportReturn({ at: day(8) }))
    .thenNothingHappens();
  given(orderAggregate, reportReturn())
    .when(reportReturn({ lines: [line({ quantity: 5n })] }))
    .thenRefused('DOCUMENT_CHANGED', 'already-exists');
  given(orderAggregate).when(adjustStock()).thenHappens('StockAdjustmentReported');
  given(orderAggregate, adjustStock()).when(adjustStock()).thenNothingHappens();
  given(orderAggregate, adjustStock()).when(adjustStock(-3n)).thenRefused('DOCUMENT_CHANGED');
  given(orderAggregate).when(adjustStock(0n)).thenRefused('DELTA_ZERO', 'invalid');
});

test('a document stays what it is', () => {
  given(orderAggregate, track()).when(reportReturn()).thenRefused('DOCUMENT_KIND_MISMATCH');
  given(orderAggregate, reportReturn()).when(track()).thenRefused('DOCUMENT_KIND_MISMATCH');
  given(orderAggregate, reportReturn()).when(adjustStock()).thenRefused('DOCUMENT_KIND_MISMATCH');
  given(orderAggregate, adjustStock())
    .when(reportStatus('confirm', 1n))
    .thenRefused('DOCUMENT_KIND_MISMATCH');
  given(orderAggregate, reportStatus('confirm', 1n))
    .when(reportReturn())
    .thenRefused('DOCUMENT_KIND_MISMATCH');
});
