import { describe, expect, it } from 'vitest';
import { encodeEvent } from '../../src/domain/codec.ts';
import { type DomainEvent, eventCodecs } from '../../src/domain/events.ts';
import { type LogEntry, recompute } from '../../src/main/demo/recompute.ts';
import { compare } from '../../src/main/demo/table.ts';

const at = '2026-03-02T08:30:00.000Z';
const account = { member: 'm', currency: 'GBP', occurredAt: at };
const header = { source: 's', externalId: 'o1', merchant: 'shop', member: 'm', currency: 'GBP' };

/** Events of one stream from proto3 JSON, as a log. */
function log(...events: readonly (readonly [type: keyof typeof eventCodecs, data: object])[]): LogEntry[] {
  return events.map(([type, data], revision) => {
    const event = { type, data: eventCodecs[type].fromJSON(data) } as DomainEvent;
    return { ...encodeEvent(event), revision };
  });
}

const accrued = [
  'RebateAccrued',
  {
    ...account,
    entryId: 's~o1',
    merchant: 'shop',
    cause: 'REBATE_CAUSE_TRACKED',
    lines: [{ lineNo: 1, rebateMinor: '100', orderedAt: '2026-02-28T23:59:59.999Z' }],
    amountMinor: '100',
    toPending: '100',
    balance: { pending: '999999' },
  },
] as const;

describe('accounts', () => {
  it('follow the amounts of events, not the balance that the events state', async () => {
    const { balances, statements } = await recompute(
      log(
        accrued,
        ['RebateReleased', { ...account, amountMinor: '100' }],
        ['WithdrawalRequested', { ...account, withdrawalId: 'w', amountMinor: '60' }],
        ['WithdrawalSettled', { ...account, withdrawalId: 'w', amountMinor: '60' }],
        [
          'ReturnTaken',
          {
            ...account,
            returnId: 's~r',
            merchant: 'shop',
            lines: [{ lineNo: 1, orphanQuantity: '2' }, { lineNo: 2 }],
            amountMinor: '70',
            fromAvailable: '40',
            toDebt: '30',
          },
        ],
        ['BalanceAdjusted', { ...account, adjustmentId: 'a', amountMinor: '50', debtRecovered: '30' }],
        ['BalanceAdjusted', { ...account, adjustmentId: 'b', amountMinor: '-25', toDebt: '5' }],
        ['CommandRefused', { occurredAt: at, reason: 'NO' }],
        ['AccountFrozen', account],
      ),
    );
    expect(balances.get('m | GBP')).toBe(
      'pending=0 available=0 reserved=0 paid=60 debt=5 accrued=100 reversed=70 adjusted=25 entries=1 ' +
        `orphans=2 frozen=true changedAt=${at} revision=8`,
    );
    expect([...statements.keys()]).toEqual([0, 1, 2, 3, 4, 5, 6].map((n) => `m | GBP | ${n}`));
    expect(statements.get('m | GBP | 4')).toBe(
      `at=${at} kind=ReturnTaken reference=s~r merchant=shop amount=-70 pending=0 available=0 reserved=0 paid=60 debt=30`,
    );
  });
});

it('stock follows quantities, not the level that events state', async () => {
  const level = { merchant: 'shop', sku: 'x', onHand: '12345' };
  const { stock, boards } = await recompute(
    log(
      ['StockReceived', { level, occurredAt: at, quantity: '10' }],
      ['StockSold', { level, occurredAt: at, quantity: '4' }],
      ['StockTakenBack', { level, occurredAt: at, quantity: '1' }],
      ['StockReserved', { level, occurredAt: at, quantity: '3' }],
      ['ReservationCommitted', { level, occurredAt: at, quantity: '2' }],
      ['StockAdjusted', { level, occurredAt: at, delta: '-1' }],
    ),
  );
  expect(stock.get('shop | x')).toBe(
    `onHand=4 reserved=1 received=10 sold=4 takenBack=1 adjusted=-1 committed=2 changedAt=${at} revision=5`,
  );
  expect(boards.get('ITEMS | shop |  | x | ')).toBe('score=3');
  expect(boards.get('ITEMS | shop | 2026-03 | x | ')).toBe('score=3');
});

it('an amendment moves lines between windows; rebates count when the line was ordered', async () => {
  const line = { lineNo: 1, sku: 'x', quantity: '2', unitPrice: '5.00', amountMinor: '1000', orderedAt: at };
  const later = { ...line, quantity: '3', amountMinor: '1500', orderedAt: '2026-03-03T08:30:00.000Z' };
  const { windows, orders, boards } = await recompute(
    log(
      [
        'OrderTracked',
        {
          header,
          occurredAt: at,
          sourceVersion: '1',
          lines: [line],
          amountMinor: '1000',
          status: 'ORDER_STATUS_TRACKED',
        },
      ],
      [
        'OrderAmended',
        {
          header,
          occurredAt: at,
          sourceVersion: '2',
          changes: [{ before: line, after: later }],
          amountMinor: '1500',
        },
      ],
      ['OrderConfirmed', { header, occurredAt: at, sourceVersion: '1' }],
      accrued,
    ),
  );
  const day = (start: string) => windows.get(`shop | GBP | DAY | ${start}T00:00:00.000Z`);
  expect(day('2026-03-02')).toMatch(/^orders=1 orderLines=0 .* sales=0 .* unitsSold=0 /);
  expect(day('2026-03-03')).toMatch(/^orders=0 orderLines=1 .* sales=1500 .* unitsSold=3 /);
  expect(day('2026-02-28')).toMatch(/ earned=100 rebatedLines=1 /);
  expect(windows.get('shop | GBP | HOUR | 2026-02-28T23:00:00.000Z')).toMatch(/ earned=100 /);
  expect(boards.get('MEMBERS | shop | 2026-02 | m | GBP')).toBe('score=100');
  expect(orders.get('s | o1')).toBe(
    `kind=ORDER merchant=shop member=m currency=GBP status=2 at=${at} version=2 amount=1500 refunded=0 lines=1`,
  );
});

it('a comparison finds what is different, missing or too much', () => {
  const expected = new Map([
    ['a', '1'],
    ['b', '2'],
    ['c', '3'],
  ]);
  const actual = new Map([
    ['a', '1'],
    ['b', '4'],
    ['d', '5'],
  ]);
  expect(compare('rows', expected, actual)).toMatchObject({ rows: 4, different: 3 });
  expect(compare('rows', expected, new Map(expected))).toMatchObject({ rows: 3, different: 0, examples: [] });
});
