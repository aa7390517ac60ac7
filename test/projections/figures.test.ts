import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DomainEvent } from '../../src/domain/events.ts';
import type { ReadModel } from '../../src/projections/engine/read-model.ts';
import type { handles } from '../../src/projections/figures/amounts.ts';
import { monthOf, windowStart } from '../../src/projections/figures/windows.ts';
import { figures, leaderboard } from '../../src/projections/index.ts';
import {
  accountEvent,
  day,
  event,
  header,
  logged,
  orderLine,
  rebateChange,
  rebateLine,
  takenLine,
} from './support/events.ts';
import { fold, rowsAfter } from './support/folding.ts';
import { happening } from './support/history.ts';

const ofDay = (...events: readonly DomainEvent<(typeof handles)[number]>[]) =>
  rowsAfter(figures, ...events).filter(({ length }) => length === 'day');

describe('figures', () => {
  test('documents count by their own time, lines by theirs; services are no units', () => {
    const lines = [
      orderLine({ lineNo: 1, quantity: 2n, amountMinor: 500n, orderedAt: day(1) }),
      orderLine({ lineNo: 2, quantity: 1n, amountMinor: 300n, orderedAt: day(2), service: true }),
    ];
    expect(ofDay(event('OrderTracked', { header: header(), occurredAt: day(1.5), lines }))).toMatchObject([
      { start: day(1), orders: 1n, order_lines: 1n, sales_minor: 500n, units_sold: 2n },
      { start: day(2), orders: 0n, order_lines: 1n, sales_minor: 300n, units_sold: 0n },
    ]);
  });

  test('an amendment moves a line out of one window and into another', () => {
    const before = orderLine({ orderedAt: day(1), quantity: 5n, amountMinor: 500n });
    const after = orderLine({ orderedAt: day(3), quantity: 4n, amountMinor: 400n });
    const days = ofDay(
      event('OrderTracked', { header: header(), occurredAt: day(1), lines: [before] }),
      event('OrderAmended', { header: header(), changes: [{ before, after, returnedQuantity: 0n }] }),
    );
    expect(days).toMatchObject([
      { start: day(1), orders: 1n, order_lines: 0n, sales_minor: 0n, units_sold: 0n },
      { start: day(3), orders: 0n, order_lines: 1n, sales_minor: 400n, units_sold: 4n },
    ]);
  });

  test('returns count when they happen, returns without an order by their lines', () => {
    const line = orderLine({ orderedAt: day(1) });
    const days = ofDay(
      event('LinesReturned', {
        header: header(),
        occurredAt: day(5),
        lines: [
          { line, quantity: 2n, keptQuantity: 8n, refundMinor: 510n },
          { line: { ...line, service: true }, quantity: 1n, keptQuantity: 0n, refundMinor: 100n },
        ],
      }),
      event('ReturnReported', {
        header: header(),
        occurredAt: day(5),
        lines: [orderLine({ quantity: 3n, amountMinor: 765n, orderedAt: day(6) })],
      }),
    );
    expect(days).toMatchObject([
      { start: day(5), returns: 2n, return_lines: 2n, refunds_minor: 610n, units_returned: 2n },
      { start: day(6), returns: 0n, return_lines: 1n, refunds_minor: 765n, units_returned: 3n },
    ]);
  });

  test('stock adjustments have no currency', () => {
    const lines = [
      { lineNo: 1, sku: 'mug', delta: -1n, reason: '' },
      { lineNo: 2, sku: 'cup', delta: 1n, reason: '' },
    ];
    expect(
      ofDay(event('StockAdjustmentReported', { header: header({ member: '', currency: '' }), lines })),
    ).toMatchObject([{ currency: '', stock_adjustments: 1n, stock_adjustment_lines: 2n }]);
  });

  test('rebates: earned by order time, clawed back by decision time, orphans counted', () => {
    const days = ofDay(
      accountEvent('RebateAccrued', {
        merchant: 'shop',
        occurredAt: day(4),
        lines: [
          rebateLine({ rebateMinor: 100n, orderedAt: day(1) }),
          rebateLine({ rebateMinor: 0n, orderedAt: day(1) }),
        ],
        changes: [rebateChange({ rebateBefore: 1n, rebateAfter: 8n })],
      }),
      accountEvent('RebateReversed', { merchant: 'shop', occurredAt: day(4), amountMinor: 20n }),
      accountEvent('ReturnTaken', {
        merchant: 'shop',
        occurredAt: day(4),
        amountMinor: 30n,
        lines: [takenLine({ orphanQuantity: 0n }), takenLine({ orphanQuantity: 6n })],
      }),
    );
    expect(days).toMatchObject([
      { start: day(1), earned_minor: 100n, rebated_lines: 2n, clawed_minor: 0n },
      {
        start: day(4),
        earned_minor: 7n,
        rebated_lines: 0n,
        clawed_minor: 50n,
        orphan_lines: 1n,
        orphan_units: 6n,
      },
    ]);
  });

  test('windows are aligned to UTC, before 1970 too', () => {
    expect(windowStart('hour', new Date('2026-01-02T03:59:59.999Z'))).toEqual(
      new Date('2026-01-02T03:00:00Z'),
    );
    expect(windowStart('day', new Date('1969-12-31T23:00:00Z'))).toEqual(new Date('1969-12-31T00:00:00Z'));
    expect(monthOf(new Date('2026-03-31T23:59:59.999Z'))).toBe('2026-03');
  });
});

const history = fc.array(
  happening.map(({ event: one }) => one),
  { maxLength: 60 },
);

/** In another order: by random numbers that go with the events. */
const shuffled = history.chain((events) =>
  fc.tuple(
    fc.constant(events),
    fc.shuffledSubarray(events, { minLength: events.length, maxLength: events.length }),
  ),
);

test('whatever order events come in, the sums are the same', () => {
  fc.assert(
    fc.property(shuffled, ([events, others]) => {
      const models: readonly ReadModel[] = [figures, leaderboard];
      for (const model of models) {
        expect(fold(model, logged(others))).toEqual(fold(model, logged(events)));
      }
    }),
    { numRuns: 200 },
  );
});

test('days are the sums of their hours, whatever happened', () => {
  fc.assert(
    fc.property(history, (events) => {
      const rows = fold(figures, logged(events));
      const total = (
        wanted: string,
        column: 'sales_minor' | 'orders' | 'earned_minor' | 'orphan_units',
      ): bigint => rows.filter(({ length }) => length === wanted).reduce((sum, row) => sum + row[column], 0n);
      for (const column of ['sales_minor', 'orders', 'earned_minor', 'orphan_units'] as const) {
        expect(total('day', column)).toBe(total('hour', column));
      }
    }),
    { numRuns: 200 },
  );
});
