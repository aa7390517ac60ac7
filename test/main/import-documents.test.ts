import { describe, expect, it } from 'vitest';
import { documentOf } from '../../src/main/import/documents.ts';
import { documentRequestId, programmeRequestId, withdrawalRequestId } from '../../src/main/import/ids.ts';
import { plan } from '../../src/main/import/plan.ts';
import { runsOf } from './import-file.ts';

const early = '2011-02-01T11:19:00Z';
const late = '2011-02-01T11:20:00Z';

describe('an order', () => {
  it('has its rows as lines, in the order of the file', async () => {
    const [run] = await runsOf({ sku: '85123A' }, { sku: 'POST', quantity: 1, price: '18.00' });
    expect(run && documentOf(run)).toMatchObject({
      kind: 'record',
      member: '17850',
      record: {
        $case: 'trackOrder',
        value: {
          source: 'online-retail',
          merchant: 'online-retail',
          externalId: '536365',
          currency: 'GBP',
          sourceVersion: 1n,
          occurredAt: new Date('2010-12-01T08:26:00Z'),
          lines: [
            {
              lineNo: 1,
              sku: '85123A',
              category: 'product',
              service: false,
              quantity: 6n,
              unitPrice: '2.55',
            },
            { lineNo: 2, sku: 'POST', category: 'other', service: true, quantity: 1n, unitPrice: '18.00' },
          ],
        },
      },
    });
  });

  it('is tracked again with all rows so far when rows come with a later timestamp', async () => {
    const runs = await runsOf({ date: early }, { date: early }, { date: late });
    const [first, second] = runs.map(documentOf);
    expect(first).toMatchObject({ record: { value: { sourceVersion: 1n, occurredAt: new Date(early) } } });
    expect(
      first?.kind === 'record' && 'lines' in first.record.value && first.record.value.lines,
    ).toHaveLength(2);
    expect(second).toMatchObject({
      record: {
        value: {
          sourceVersion: 2n,
          occurredAt: new Date(late),
          lines: [
            { lineNo: 1, orderedAt: new Date(early) },
            { lineNo: 2, orderedAt: new Date(early) },
            { lineNo: 3, orderedAt: new Date(late) },
          ],
        },
      },
    });
  });

  it('is tracked again when rows come after those of another invoice', async () => {
    const runs = await runsOf({ invoice: '1' }, { invoice: '2' }, { invoice: '1' }, { invoice: '1' });
    expect(runs.map((run) => [run.invoice.id, run.number, run.rowsSoFar])).toEqual([
      ['1', 1, 1],
      ['2', 1, 1],
      ['1', 2, 3],
    ]);
  });
});

describe('a return', () => {
  it('is an invoice with a C, with positive quantities, once, at its first row', async () => {
    const row = { invoice: 'C536379', quantity: -2 };
    const runs = await runsOf({ ...row, date: early }, { ...row, date: late });
    expect(runs.map(documentOf)).toMatchObject([
      {
        record: {
          $case: 'reportReturn',
          value: {
            occurredAt: new Date(early),
            lines: [{ quantity: 2n }, { quantity: 2n, orderedAt: new Date(late) }],
          },
        },
      },
      { kind: 'covered' },
    ]);
  });

  it('is also an invoice with negative prices', async () => {
    const [run] = await runsOf({ invoice: 'A563186', sku: 'B', quantity: 1, price: '-11062.06', member: '' });
    expect(run && documentOf(run)).toMatchObject({
      member: '',
      record: {
        $case: 'reportReturn',
        value: { lines: [{ unitPrice: '11062.06', quantity: 1n, service: true }] },
      },
    });
  });
});

it('an invoice of negative quantities only is a stock adjustment', async () => {
  const [run] = await runsOf(
    { quantity: -10, description: 'damages', member: '' },
    { quantity: -1, description: '', member: '' },
  );
  expect(run && documentOf(run)).toMatchObject({
    record: {
      $case: 'reportStockAdjustment',
      value: {
        lines: [
          { lineNo: 1, delta: -10n, reason: 'damages' },
          { lineNo: 2, delta: -1n, reason: 'stock correction' },
        ],
      },
    },
  });
});

describe('refused with a reason, rows counted', () => {
  it.each([
    ['MIXED_SIGNS', [{ quantity: 1 }, { quantity: -1 }]],
    ['MIXED_SIGNS', [{ invoice: 'C1', quantity: 1 }]],
    ['MIXED_SIGNS', [{ price: '-1' }, { price: '1' }]],
    ['MIXED_SIGNS', [{ price: '-1', quantity: -1 }]],
    ['ZERO_QUANTITY', [{ quantity: 0 }]],
    ['MEMBER_CHANGES', [{ member: '1' }, { member: '2' }]],
    ['TOO_MANY_LINES', Array.from({ length: 4_001 }, () => ({}))],
  ])('%s', async (reason, rows) => {
    const [run] = await runsOf(...rows);
    expect(run && documentOf(run)).toMatchObject({ kind: 'refused', reason, rows: rows.length });
  });
});

it('request ids never change', () => {
  expect(documentRequestId('536365', 1)).toBe('0e6a564b-eeac-5cd8-a268-01b6c32ed593');
  expect(programmeRequestId()).toBe('44bf7d84-f0ca-57fd-931a-f7be8c2fa523');
  expect(withdrawalRequestId('2011-01', '17850')).toBe('842f8b34-bd7b-5377-8af5-2cfbb2fb0097');
  expect(documentRequestId('536365', 2)).not.toBe(documentRequestId('536365', 1));
});

it('the turn of every month comes before the first row at or after it, with everybody so far', async () => {
  const runs = await runsOf(
    { invoice: '1', member: '11', date: '2010-12-31T23:59:00Z' },
    { invoice: '2', member: '22', date: '2011-01-01T00:00:00Z' },
    { invoice: '3', member: '', date: '2011-01-02T00:00:00Z' },
    { invoice: '4', member: '44', quantity: 0, date: '2011-01-02T00:00:00Z' },
    { invoice: '5', member: '11', date: '2011-03-05T00:00:00Z' },
  );
  const steps = [...plan(runs)].map((step) =>
    step.kind === 'month' ? [step.month, step.at.toISOString(), ...step.members] : step.document.kind,
  );
  expect(steps).toEqual([
    'record',
    ['2011-01', '2011-01-01T00:00:00.000Z', '11'],
    'record',
    'record',
    'refused',
    ['2011-02', '2011-02-01T00:00:00.000Z', '11', '22'],
    ['2011-03', '2011-03-01T00:00:00.000Z', '11', '22'],
    'record',
  ]);
});
