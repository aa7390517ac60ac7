/** The audit finds what is planted, says nothing about what is right, and goes on where it was. */
import { describe, expect, test } from 'vitest';
import { balance, readModels } from '../../src/projections/index.ts';
import type { ReadModel } from '../../src/projections/engine/read-model.ts';
import { makeGeneration } from '../../src/projections/postgres/schema.ts';
import { inTransaction } from '../../src/projections/postgres/transaction.ts';
import { audited, caughtUp, type House, openHouse } from './support/house.ts';
import { someWorld } from './support/world.ts';

async function settled(accounts = 20): Promise<House & Awaited<ReturnType<House['start']>>> {
  const house = await openHouse();
  await house.historian.append(someWorld(accounts, 200, 1));
  const running = await house.start();
  await caughtUp(running, house.store);
  return { ...house, ...running };
}

describe('what is planted', () => {
  const expectFound = async (house: Awaited<ReturnType<typeof settled>>, sql: string): Promise<unknown> => {
    await audited(house, house.auditor);
    expect(await house.open()).toEqual([]);
    await house.pool.query(sql);
    await expect.poll(() => house.open(), { timeout: 15_000 }).not.toEqual([]);
    await audited(house, house.auditor);
    return (await house.open()).map(({ readModel, key, column, stored, right }) => ({
      readModel,
      key,
      column,
      stored,
      right,
    }));
  };

  test('a wrong amount, in the row and in the sum of all balances', async () => {
    const house = await settled();
    await expectFound(
      house,
      `update tallyback.balance_1 set available_minor = available_minor + 7 where (member, currency) = ('member-1', 'GBP')`,
    );
    const columns = async (): Promise<string[]> =>
      (await house.open())
        .map(({ readModel, key, column }) => `${readModel} ${key.join('/')} ${column}`)
        .toSorted();
    await expect
      .poll(columns, { timeout: 10_000 })
      .toEqual([
        'balance GBP amounts: member_available',
        'balance member-1/GBP amounts: member_available',
        'balance member-1/GBP available_minor',
      ]);
    await expect
      .poll(async () => (await house.audit.report()).imbalances.get('GBP'), { timeout: 10_000 })
      .toBe(7n);
    expect((await house.audit.report()).imbalances.get('EUR')).toBe(0n);
    expect(house.lines.join('\n')).toContain('AUDIT: balance ["member-1","GBP"] available_minor');

    // Put right, it is right again, and remembered.
    await house.pool.query(
      `update tallyback.balance_1 set available_minor = available_minor - 7 where (member, currency) = ('member-1', 'GBP')`,
    );
    await expect.poll(() => house.open(), { timeout: 15_000 }).toEqual([]);
    const { differences, imbalances } = await house.audit.report();
    expect(differences.get('balance')).toEqual({ all: 3, open: 0 });
    expect(imbalances.get('GBP')).toBe(0n);
  });

  test('money out of thin air: a balance of somebody the log does not know', async () => {
    const house = await settled();
    const found = await expectFound(
      house,
      `insert into tallyback.balance_1 select 'nobody', currency, pending_minor, 5000, reserved_minor, paid_minor,
         debt_minor, accrued_minor, reversed_minor, adjusted_minor, entry_count, orphan_units, frozen, changed_at, revision, position
       from tallyback.balance_1 limit 1`,
    );
    expect(found).toContainEqual({
      readModel: 'balance',
      key: ['nobody', expect.any(String)],
      column: 'row',
      stored: 'is there',
      right: undefined,
    });
    await expect
      .poll(async () => [...(await house.audit.report()).imbalances.values()].some((one) => one >= 5000n))
      .toBe(true);
  });

  test('missing and surplus rows, wrong positions, of every kind of table', async () => {
    const house = await settled();
    await audited(house, house.auditor);
    await house.pool.query(`
      delete from tallyback.stock_1 where ctid = (select min(ctid) from tallyback.stock_1);
      delete from tallyback.statement_1 where ctid = (select min(ctid) from tallyback.statement_1);
      delete from tallyback.balance_1 where ctid = (select min(ctid) from tallyback.balance_1);
      insert into tallyback.statement_1 select 'nobody', currency, 9000000000000, occurred_at, kind, reference, merchant,
        amount_minor, 0, 0, 0, 0, 0, position from tallyback.statement_1 limit 1;
      update tallyback.orders_1 set position = position + 1 where external_id = 'A3';
      update tallyback.programme_1 set priority = 9, version = 77 where ctid = (select min(ctid) from tallyback.programme_1);
    `);
    const of = async (model: string): Promise<unknown[]> =>
      (await house.open())
        .filter(({ readModel, key }) => readModel === model && key.length > 1)
        .map(({ column, stored, right }) => [column, stored, right]);
    const gone = ['row', undefined, 'is there'];
    await expect.poll(() => of('stock'), { timeout: 15_000 }).toEqual([gone]);
    await expect
      .poll(() => of('statement'), { timeout: 15_000 })
      .toEqual(expect.arrayContaining([gone, ['row', 'is there', undefined]]));
    await expect.poll(() => of('balance'), { timeout: 15_000 }).toEqual([gone]);
    await expect
      .poll(() => of('orders'), { timeout: 15_000 })
      .toMatchObject([['position', expect.any(String), expect.any(String)]]);
    await expect
      .poll(() => of('programme'), { timeout: 15_000 })
      .toEqual(expect.arrayContaining([gone, ['row', 'is there', undefined]]));
  });

  test('is kept when the instance ends, and gone on from', async () => {
    const house = await settled();
    await audited(house, house.auditor);
    await house.stop();
    const state = await house.audit.load();
    expect(state?.position).toEqual(await house.store.head());
    await house.pool.query(
      `update tallyback.stock_1 set sold = sold + 1 where ctid = (select min(ctid) from tallyback.stock_1)`,
    );
    const next = await house.start();
    await audited(house, next.auditor);
    expect(await house.open()).toMatchObject([{ readModel: 'stock', column: 'sold' }]);
    // Amounts were not added up anew.
    expect(next.auditor.done.rounds).toBeGreaterThan(0);
    await next.stop();
    const last = await house.start();
    await audited(house, last.auditor);
    expect(await house.open()).toHaveLength(1);
  });
});

test('what is parked is no difference, and money beside it is still watched', async () => {
  const house = await openHouse();
  const whole: ReadModel = balance;
  const brittle: ReadModel = {
    ...whole,
    onFailure: 'park',
    fold: (row, logged, key) => {
      if (logged.event.type === 'RebateReleased' && key[0] === 'member-2') throw new Error('no releases');
      return whole.fold(row, logged, key);
    },
  };
  const models = readModels.map((model) => (model.name === 'balance' ? brittle : model));
  const world = someWorld(30, 100, 3);
  await house.historian.append(world);
  // The audit folds with the sound one: what is missing in parked rows would show.
  const running = await house.start({ models });
  await caughtUp(running, house.store);
  const { rows } = await house.pool.query('select scope from tallyback.parked_event');
  expect(rows.length).toBeGreaterThan(1);
  await audited(house, running.auditor);
  expect(await house.open()).toEqual([]);
  await running.stop();

  const sound = await house.start();
  await audited(house, sound.auditor);
  expect(await house.open()).toEqual([]);
  await house.pool.query(
    `update tallyback.balance_1 set paid_minor = 1 + paid_minor where member = 'member-1'`,
  );
  await expect.poll(() => house.open(), { timeout: 15_000 }).not.toEqual([]);
});

test('what operators dropped is no difference either', async () => {
  const house = await settled();
  await house.pool.query(`insert into tallyback.operator_action (who, action, subject, detail)
    values ('ann', 'drop-parked', 'balance/1', '{"scope": "row:[\\"member-1\\",\\"GBP\\"]"}')`);
  await house.pool.query(
    `update tallyback.balance_1 set orphan_units = 99 where member in ('member-1', 'member-2') and currency = 'GBP'`,
  );
  await expect.poll(() => house.open(), { timeout: 15_000 }).not.toEqual([]);
  await audited(house, house.auditor);
  expect((await house.open()).map(({ key }) => key)).toEqual([['member-2', 'GBP']]);
});

test(
  'no false alarm while a writer writes, is replaced, and its tables are folded anew',
  { timeout: 60_000 },
  async () => {
    const house = await openHouse();
    const world = someWorld(40, 600, 5);
    const running = [await house.start(), await house.start()];
    for (let i = 0; i < world.length; i += 100) {
      await house.historian.append(world.slice(i, i + 100));
      // Built beside the one that serves, compared, and swapped in.
      if (i === 300)
        await inTransaction(house.pool, (client) => makeGeneration(client, balance, { state: 'building' }));
      const [old] = i % 400 === 200 ? running.splice(0, 1) : [];
      if (old) {
        await old.stop();
        running.push(await house.start());
      }
    }
    for (const one of running) await caughtUp(one, house.store);
    for (const one of running.slice(1)) await one.stop();
    const [last] = running;
    if (!last) throw new Error('somebody is left');
    await expect.poll(() => last.catalog.serving(balance).number, { timeout: 15_000 }).toBe(2);
    await audited(house, last.auditor);
    expect(await house.audit.findings(10)).toEqual([]);
    const { imbalances } = await house.audit.report();
    expect([...imbalances]).toEqual([
      ['EUR', 0n],
      ['GBP', 0n],
    ]);
  },
);
