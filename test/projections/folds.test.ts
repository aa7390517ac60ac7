import { describe, expect, test } from 'vitest';
import { RebateCause } from '../../src/gen/tallyback/events/v1/account.ts';
import { OrderStatus } from '../../src/gen/tallyback/events/v1/order.ts';
import { ReleaseOn } from '../../src/gen/tallyback/events/v1/programme.ts';
import { OrderLineState, TimelineEntry } from '../../src/gen/tallyback/order/v1/order_query_service.ts';
import { balance, leaderboard, orders, programme, statement, stock } from '../../src/projections/index.ts';
import {
  accountEvent,
  day,
  event,
  header,
  held,
  level,
  orderLine,
  rebateChange,
  rebateLine,
  takenLine,
} from './support/events.ts';
import { rowsAfter } from './support/folding.ts';

describe('balance', () => {
  test('shows what the account says it holds', () => {
    const holds = {
      pending: 1n,
      available: 2n,
      reserved: 3n,
      paid: 4n,
      debt: 5n,
      accrued: 6n,
      reversed: 7n,
      adjusted: 8n,
    };
    expect(
      rowsAfter(
        balance,
        accountEvent('RebateAccrued', { opensEntry: true }),
        accountEvent('BalanceAdjusted', { balance: held(holds), occurredAt: day(3) }),
      ),
    ).toMatchObject([
      {
        member: 'ann',
        currency: 'GBP',
        pending_minor: 1n,
        available_minor: 2n,
        reserved_minor: 3n,
        paid_minor: 4n,
        debt_minor: 5n,
        accrued_minor: 6n,
        reversed_minor: 7n,
        adjusted_minor: 8n,
        entry_count: 1n,
        changed_at: day(3),
        revision: 1n,
      },
    ]);
  });

  test('counts an entry once, whatever happens to it later', () => {
    expect(
      rowsAfter(
        balance,
        accountEvent('RebateAccrued', { opensEntry: true, cause: RebateCause.TRACKED, entryId: 'web~A1' }),
        accountEvent('RebateReversed', { cause: RebateCause.DECLINED, entryId: 'web~A1' }),
        accountEvent('RebateAccrued', { cause: RebateCause.RESTORED, entryId: 'web~A1' }),
        accountEvent('RebateAccrued', { cause: RebateCause.AMENDED, entryId: 'web~A1' }),
        accountEvent('RebateAccrued', { opensEntry: true, cause: RebateCause.AMENDED, entryId: 'web~A2' }),
      ),
    ).toMatchObject([{ entry_count: 2n }]);
  });

  test('adds up orphans and knows whether it is frozen', () => {
    const lines = [takenLine({ orphanQuantity: 2n }), takenLine({ orphanQuantity: 3n })];
    expect(
      rowsAfter(
        balance,
        accountEvent('ReturnTaken', { lines }),
        accountEvent('AccountFrozen'),
        accountEvent('AccountUnfrozen'),
        accountEvent('AccountFrozen', { currency: 'EUR' }),
      ),
    ).toMatchObject([
      { currency: 'EUR', frozen: true, orphan_units: 0n },
      { currency: 'GBP', frozen: false, orphan_units: 5n },
    ]);
  });

  test('refuses an event that does not say what the account holds', () => {
    expect(() => rowsAfter(balance, accountEvent('AccountFrozen', { balance: undefined }))).toThrow(
      'balance is missing',
    );
  });
});

test('the statement has a line for every movement, signed, and for nothing else', () => {
  expect(
    rowsAfter(
      statement,
      accountEvent('RebateAccrued', { amountMinor: 10n, entryId: 'web~A1', merchant: 'shop' }),
      accountEvent('RebateReversed', { amountMinor: 1n, entryId: 'web~A1', merchant: 'shop' }),
      accountEvent('ReturnTaken', { amountMinor: 2n, returnId: 'web~R1', merchant: 'shop' }),
      accountEvent('RebateReleased', { amountMinor: 7n, balance: held({ available: 7n }) }),
      accountEvent('WithdrawalRequested', { amountMinor: 7n, withdrawalId: 'w1' }),
      accountEvent('WithdrawalFailed', { amountMinor: 7n, withdrawalId: 'w1' }),
      accountEvent('WithdrawalSettled', { amountMinor: 6n, withdrawalId: 'w2' }),
      accountEvent('WithdrawalReturned', { amountMinor: 6n, withdrawalId: 'w2' }),
      accountEvent('BalanceAdjusted', { amountMinor: -3n, adjustmentId: 'a1' }),
    ),
  ).toMatchObject([
    { revision: 0n, kind: 'RebateAccrued', amount_minor: 10n, reference: 'web~A1', merchant: 'shop' },
    { revision: 1n, kind: 'RebateReversed', amount_minor: -1n, reference: 'web~A1' },
    { revision: 2n, kind: 'ReturnTaken', amount_minor: -2n, reference: 'web~R1' },
    { revision: 3n, kind: 'RebateReleased', amount_minor: 7n, reference: '', available_after_minor: 7n },
    { revision: 4n, kind: 'WithdrawalRequested', amount_minor: -7n, reference: 'w1' },
    { revision: 5n, kind: 'WithdrawalFailed', amount_minor: 7n, reference: 'w1' },
    { revision: 6n, kind: 'WithdrawalSettled', amount_minor: -6n, reference: 'w2' },
    { revision: 7n, kind: 'WithdrawalReturned', amount_minor: 6n, reference: 'w2' },
    { revision: 8n, kind: 'BalanceAdjusted', amount_minor: -3n, reference: 'a1' },
  ]);
});

describe('orders', () => {
  const order = { header: header() };
  const linesOf = (row: { lines: string } | undefined): OrderLineState[] => {
    const lines: unknown = JSON.parse(row?.lines ?? '');
    return Array.isArray(lines) ? lines.map((line) => OrderLineState.fromJSON(line)) : [];
  };

  test('a status that overtakes the order is kept; the order then fills in the rest', () => {
    const rows = rowsAfter(
      orders,
      event('OrderConfirmed', {
        header: header({ merchant: '', member: '', currency: '' }),
        sourceVersion: 4n,
        occurredAt: day(9),
      }),
      event('OrderTracked', {
        ...order,
        lines: [orderLine()],
        amountMinor: 2550n,
        sourceVersion: 1n,
        status: OrderStatus.CONFIRMED,
        occurredAt: day(8),
      }),
    );
    expect(rows).toMatchObject([
      {
        kind: 'DOCUMENT_KIND_ORDER',
        merchant: 'shop',
        member: 'ann',
        currency: 'GBP',
        status: 'ORDER_STATUS_CONFIRMED',
        occurred_at: day(8),
        source_version: 1n,
        status_version: 4n,
        amount_minor: 2550n,
        line_count: 1n,
      },
    ]);
    const timeline: unknown = JSON.parse(rows[0]?.timeline ?? '');
    expect(Array.isArray(timeline) ? timeline.map((entry) => TimelineEntry.fromJSON(entry)) : []).toEqual([
      { occurredAt: day(9), event: 'OrderConfirmed', detail: 'version 4' },
      { occurredAt: day(8), event: 'OrderTracked', detail: 'version 1' },
    ]);
  });

  test('lines are as amended and returned', () => {
    const kept = orderLine({ lineNo: 1, quantity: 10n });
    const rows = rowsAfter(
      orders,
      event('OrderTracked', { ...order, lines: [kept, orderLine({ lineNo: 2 })], amountMinor: 5100n }),
      event('LinesReturned', {
        ...order,
        returnId: 'r1',
        lines: [{ line: kept, quantity: 4n, keptQuantity: 6n, refundMinor: 1020n }],
        refundMinor: 1020n,
      }),
      event('OrderAmended', {
        ...order,
        sourceVersion: 2n,
        amountMinor: 3060n,
        changes: [
          { before: undefined, after: orderLine({ lineNo: 7, service: true }), returnedQuantity: 0n },
          { before: orderLine({ lineNo: 2 }), after: undefined, returnedQuantity: 0n },
          { before: kept, after: { ...kept, quantity: 12n }, returnedQuantity: 4n },
        ],
      }),
    );
    expect(rows).toMatchObject([
      { amount_minor: 3060n, refunded_minor: 1020n, line_count: 2n, source_version: 2n },
    ]);
    expect(linesOf(rows[0])).toEqual([
      { ...orderLine({ lineNo: 1, quantity: 12n }), returnedQuantity: 4n },
      { ...orderLine({ lineNo: 7, service: true }), returnedQuantity: 0n },
    ]);
  });

  test('returns and stock adjustments are documents too', () => {
    const rows = rowsAfter(
      orders,
      event('ReturnReported', {
        header: header({ externalId: 'R1' }),
        lines: [orderLine()],
        refundMinor: 2550n,
      }),
      event('StockAdjustmentReported', {
        header: header({ externalId: 'S1', member: '', currency: '' }),
        lines: [{ lineNo: 1, sku: 'mug', delta: -3n, reason: 'broken' }],
      }),
    );
    expect(rows).toMatchObject([
      { kind: 'DOCUMENT_KIND_RETURN', amount_minor: 0n, refunded_minor: 2550n, line_count: 1n },
      { kind: 'DOCUMENT_KIND_STOCK_ADJUSTMENT', currency: '', line_count: 1n },
    ]);
    expect(linesOf(rows[1])).toMatchObject([{ lineNo: 1, sku: 'mug', quantity: -3n }]);
  });

  test('the timeline stops growing at 200 entries, the document goes on', () => {
    const confirms = Array.from({ length: 250 }, (_, i) =>
      event('OrderConfirmed', { ...order, sourceVersion: BigInt(i) }),
    );
    const rows = rowsAfter(orders, ...confirms, event('OrderSettled', { ...order, sourceVersion: 300n }));
    expect(rows).toMatchObject([{ status: 'ORDER_STATUS_SETTLED', status_version: 300n }]);
    expect(JSON.parse(rows[0]?.timeline ?? '')).toHaveLength(200);
  });
});

test('stock shows the level and the sums of what moved it', () => {
  const item = { level: level({ onHand: 5n, reserved: 1n }) };
  expect(
    rowsAfter(
      stock,
      event('ItemDefined', { ...item, allowNegative: true }),
      event('StockReceived', { ...item, quantity: 10n }),
      event('StockReserved', { ...item, quantity: 3n }),
      event('ReservationCommitted', { ...item, quantity: 2n }),
      event('ReservationReleased', { ...item, quantity: 1n }),
      event('StockSold', { ...item, quantity: 4n }),
      event('StockTakenBack', { ...item, quantity: 1n }),
      event('StockAdjusted', { ...item, delta: -2n, occurredAt: day(2), level: level({ onHand: -3n }) }),
    ),
  ).toMatchObject([
    {
      merchant: 'shop',
      sku: 'mug',
      on_hand: -3n,
      reserved: 0n,
      received: 10n,
      sold: 4n,
      taken_back: 1n,
      adjusted: -2n,
      committed: 2n,
      allow_negative: true,
      changed_at: day(2),
      revision: 7n,
    },
  ]);
});

describe('leaderboard', () => {
  test('members by what they kept: lines by order time, changes and reversals by decision time', () => {
    expect(
      rowsAfter(
        leaderboard,
        accountEvent('RebateAccrued', {
          merchant: 'shop',
          occurredAt: day(40),
          lines: [rebateLine({ rebateMinor: 100n, orderedAt: day(3) })],
          changes: [rebateChange({ rebateBefore: 5n, rebateAfter: 12n })],
        }),
        accountEvent('RebateReversed', { merchant: 'shop', occurredAt: day(41), amountMinor: 30n }),
        accountEvent('ReturnTaken', { merchant: 'shop', occurredAt: day(5), amountMinor: 10n }),
      ),
    ).toMatchObject([
      { board: 'BOARD_MEMBERS_BY_REBATE', month: '', subject: 'ann', currency: 'GBP', score: 67n },
      { month: '2026-01', score: 90n },
      { month: '2026-02', score: -23n },
    ]);
  });

  test('items by units; what earns nothing makes no row', () => {
    expect(
      rowsAfter(
        leaderboard,
        event('StockSold', { level: level(), quantity: 5n }),
        event('StockTakenBack', { level: level(), quantity: 2n }),
        accountEvent('RebateAccrued', { merchant: 'shop', lines: [rebateLine({ rebateMinor: 0n })] }),
      ),
    ).toMatchObject([
      { board: 'BOARD_ITEMS_BY_UNITS', month: '', subject: 'mug', currency: '', score: 3n },
      { month: '2026-01', score: 3n },
    ]);
  });
});

test('the programme lists rule sets, and when they were retired', () => {
  const rows = rowsAfter(
    programme,
    event('RuleSetPublished', {
      merchant: 'shop',
      version: 1,
      validFrom: day(1),
      holdDays: 30,
      releaseOn: ReleaseOn.CONFIRMED,
      rules: [{ ruleId: 'all', categories: [], skus: [], excludedSkus: [], rateBps: 500 }],
    }),
    event('RuleSetPublished', { merchant: 'shop', version: 2, validFrom: day(2), validUntil: day(9) }),
    event('RuleSetRetired', { merchant: 'shop', version: 1, retiredAt: day(5) }),
  );
  expect(rows).toMatchObject([
    {
      version: 1,
      valid_until: undefined,
      release_on: 'RELEASE_ON_CONFIRMED',
      hold_days: 30,
      retired_at: day(5),
    },
    { version: 2, valid_until: day(9), retired_at: undefined },
  ]);
  expect(JSON.parse(rows[0]?.rules ?? '')).toEqual([{ ruleId: 'all', rateBps: 500 }]);
});
