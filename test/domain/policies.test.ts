import { expect, test } from 'vitest';
import type { DomainEvent } from '../../src/domain/events.ts';
import { orderAggregate, type OrderCommand } from '../../src/domain/order/index.ts';
import { orderRebate } from '../../src/domain/policies/order-rebate.ts';
import { orderStock } from '../../src/domain/policies/order-stock.ts';
import type { PolicyCommand } from '../../src/domain/policies/policy.ts';
import { programmeAggregate, type ProgrammeCommand } from '../../src/domain/programme/index.ts';
import { OrderStatus } from '../../src/gen/tallyback/events/v1/order.ts';
import { ReleaseOn } from '../../src/gen/tallyback/events/v1/programme.ts';
import { stateAfter } from './given-when-then.ts';
import { day, line, publish, reportReturn, reportStatus, returnLines, rule, track } from './samples.ts';

/** The events of the last report, after the ones before it. */
function eventsOf(...reports: readonly OrderCommand[]): readonly DomainEvent[] {
  const last = reports.at(-1);
  if (last === undefined) return [];
  const decision = orderAggregate.decide(stateAfter(orderAggregate, reports.slice(0, -1)), last);
  if (decision.kind === 'refused') throw new Error(decision.refusal.reason);
  return decision.events;
}

function commandsOf(
  policy: typeof orderRebate | typeof orderStock,
  events: readonly DomainEvent[],
  programme: readonly ProgrammeCommand[],
) {
  const context = { programme: stateAfter(programmeAggregate, programme) };
  return events.flatMap((event): readonly PolicyCommand[] => {
    switch (event.type) {
      case 'OrderTracked':
      case 'OrderAmended':
      case 'LinesReturned':
      case 'ReturnReported':
        return policy.react(event, context);
      case 'OrderConfirmed':
      case 'OrderDeclined':
      case 'OrderRestored':
      case 'OrderSettled':
        return policy === orderRebate ? orderRebate.react(event, context) : [];
      case 'StockAdjustmentReported':
        return policy === orderStock ? orderStock.react(event, context) : [];
      default:
        return [];
    }
  });
}

const rebates = (reports: readonly OrderCommand[], ...programme: readonly ProgrammeCommand[]) =>
  commandsOf(orderRebate, eventsOf(...reports), programme.length === 0 ? [publish()] : programme);
const stock = (...reports: readonly OrderCommand[]) =>
  commandsOf(orderStock, eventsOf(...reports), []).map(({ command }) => command);

test('an order accrues to its member under the rule in force at each line’s time', () => {
  const lines = [line(), line({ lineNo: 2, category: 'other' }), line({ lineNo: 3, orderedAt: day(12) })];
  const later = publish({ validFrom: day(10), rules: [rule({ rateBps: 1000 })], holdDays: 5 });
  expect(rebates([track({ lines })], publish({ validUntil: day(10) }), later)).toMatchObject([
    {
      aggregate: 'account',
      stream: 'account-ann~GBP',
      command: {
        kind: 'retarget-entry',
        entryId: 'web~A1',
        merchant: 'shop',
        at: day(0),
        added: [
          { lineNo: 1, rebateMinor: 127n, ruleSetVersion: 1, maturesAt: day(30) },
          { lineNo: 3, rebateMinor: 255n, ruleSetVersion: 2, maturesAt: day(17) },
        ],
        changed: [],
        releasedBySource: true,
      },
    },
  ]);
});

test('nobody to earn, nothing that earns, or no programme: nothing to do', () => {
  expect(rebates([track({ member: '' })])).toEqual([]);
  expect(rebates([track({ lines: [line({ category: 'other' })] })])).toEqual([]);
  expect(rebates([track()], publish({ validFrom: day(1) }))).toEqual([]);
  expect(rebates([reportStatus('confirm', 1n)])).toEqual([]);
  expect(rebates([reportReturn({ member: '' })])).toEqual([]);
  expect(rebates([reportReturn({ lines: [line({ category: 'other' })] })])).toEqual([]);
});

test('the programme is asked for only where lines are evaluated', () => {
  const merchantFor = (...reports: OrderCommand[]) =>
    eventsOf(...reports).map((event) =>
      event.type === 'OrderTracked' || event.type === 'OrderConfirmed'
        ? orderRebate.programmeOf(event)
        : 'another event',
    );
  expect(merchantFor(track())).toEqual(['shop']);
  expect(merchantFor(track({ member: '' }))).toEqual([undefined]);
  expect(merchantFor(track(), reportStatus('confirm', 1n))).toEqual([undefined]);
});

test('a status that came before the order is in its first accrual', () => {
  const onSettled = publish({ releaseOn: ReleaseOn.SETTLED });
  expect(rebates([reportStatus('settle', 1n), track()], onSettled)).toMatchObject([
    { command: { kind: 'retarget-entry', releasedBySource: true } },
  ]);
  expect(rebates([reportStatus('confirm', 1n), track()], onSettled)).toMatchObject([
    { command: { kind: 'retarget-entry', releasedBySource: false } },
  ]);
  expect(rebates([reportStatus('decline', 1n), track()])).toMatchObject([
    { command: { kind: 'retarget-entry' } },
    { command: { kind: 'decline-entry' } },
  ]);
});

test('an amendment gives targets: units that are kept, 0 for what is gone, new lines evaluated', () => {
  const before = [line(), line({ lineNo: 2 }), line({ lineNo: 3 })];
  const after = [line({ quantity: 9n }), line({ lineNo: 3, sku: 'vase' }), line({ lineNo: 4 })];
  const reports = [track({ lines: before }), returnLines(), track({ sourceVersion: 2n, lines: after })];
  expect(rebates(reports)).toMatchObject([
    {
      command: {
        changed: [
          { lineNo: 1, quantity: 5n },
          { lineNo: 3, quantity: 0n },
          { lineNo: 2, quantity: 0n },
        ],
        added: [{ lineNo: 1, quantity: 5n }, { lineNo: 3, sku: 'vase' }, { lineNo: 4 }],
      },
    },
  ]);
});

test('returned lines, and what the source says of the order', () => {
  expect(rebates([track(), returnLines()])).toMatchObject([
    { command: { kind: 'retarget-entry', added: [], changed: [{ lineNo: 1, quantity: 6n }], at: day(2) } },
  ]);
  const asked = (kind: 'confirm' | 'settle' | 'decline' | 'restore') =>
    rebates([track(), reportStatus(kind, 1n)]).map(({ command }) => command);
  expect(asked('confirm')).toMatchObject([{ kind: 'confirm-entry', status: OrderStatus.CONFIRMED }]);
  expect(asked('settle')).toMatchObject([{ kind: 'confirm-entry', status: OrderStatus.SETTLED }]);
  expect(asked('decline')).toMatchObject([{ kind: 'decline-entry' }]);
  expect(asked('restore')).toMatchObject([{ kind: 'restore-entry' }]);
});

test('a return that names no order is taken for the lines that could have earned', () => {
  const lines = [line({ quantity: 4n }), line({ lineNo: 2, category: 'other' })];
  expect(rebates([reportReturn({ lines })])).toMatchObject([
    { command: { kind: 'take-return', returnId: 'web~A1', lines: [{ lineNo: 1, quantity: 4n }] } },
  ]);
});

test('stock leaves by SKU, services have none', () => {
  const lines = [
    line({ quantity: 2n }),
    line({ lineNo: 2, sku: 'post', service: true }),
    line({ lineNo: 3, sku: 'vase', quantity: 1n }),
    line({ lineNo: 4, quantity: 3n }),
  ];
  expect(stock(track({ lines, member: '' }))).toMatchObject([
    { kind: 'sell', sku: 'mug', quantity: 5n, orderId: 'web~A1' },
    { kind: 'sell', sku: 'vase', quantity: 1n },
  ]);
});

test('an amendment moves the difference by SKU', () => {
  const before = [line({ quantity: 5n }), line({ lineNo: 2, sku: 'vase', quantity: 2n })];
  const after = [line({ quantity: 3n }), line({ lineNo: 2, sku: 'bowl', quantity: 2n })];
  expect(stock(track({ lines: before }), track({ sourceVersion: 2n, lines: after }))).toMatchObject([
    { kind: 'take-back', sku: 'mug', quantity: 2n },
    { kind: 'take-back', sku: 'vase', quantity: 2n },
    { kind: 'sell', sku: 'bowl', quantity: 2n },
  ]);
});

test('what comes back is taken back, what was counted is adjusted, a decline moves nothing', () => {
  expect(stock(track(), returnLines())).toMatchObject([{ kind: 'take-back', sku: 'mug', quantity: 4n }]);
  expect(stock(reportReturn())).toMatchObject([{ kind: 'take-back', sku: 'mug', quantity: 4n }]);
  expect(stock(track(), reportStatus('decline', 1n))).toEqual([]);
  const adjustment: OrderCommand = {
    kind: 'report-stock-adjustment',
    source: 'web',
    externalId: 'S1',
    at: day(1),
    merchant: 'shop',
    lines: [{ lineNo: 1, sku: 'mug', delta: -3n, reason: 'broken' }],
  };
  expect(stock(adjustment)).toMatchObject([
    { kind: 'adjust', sku: 'mug', delta: -3n, reason: 'broken', reference: 'web~S1' },
  ]);
});
