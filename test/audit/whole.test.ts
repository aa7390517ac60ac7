/** The exact audit: all tables, in slices, and the command. */
import { expect, test } from 'vitest';
import { auditWhole, type WholeOptions } from '../../src/projections/audit/whole.ts';
import { readModels } from '../../src/projections/index.ts';
import { postgresWholeStorage } from '../../src/projections/postgres/audit/snapshot.ts';
import { startTallyback } from '../support/tallyback-process.ts';
import { caughtUp, type House, openHouse } from './support/house.ts';
import { someWorld } from './support/world.ts';

async function written(): Promise<House> {
  const house = await openHouse();
  await house.historian.append(someWorld(20, 300, 7));
  const running = await house.start();
  await caughtUp(running, house.store);
  await running.stop();
  return house;
}

async function audit({ pool, store, storage }: House, limits: Partial<WholeOptions> = {}) {
  const generations = await storage.generations();
  return auditWhole({
    store,
    storage: postgresWholeStorage(pool),
    tables: readModels.flatMap((model) =>
      generations.filter((one) => one.model === model.name).map((one) => [model, one] as const),
    ),
    signal: new AbortController().signal,
    ...limits,
  });
}

const planted = `
  update tallyback.figures_1 set sales_minor = sales_minor + 1 where ctid = (select min(ctid) from tallyback.figures_1);
  update tallyback.leaderboard_1 set position = 1 + position where ctid = (select min(ctid) from tallyback.leaderboard_1);
  delete from tallyback.orders_1 where external_id = 'A3';
  insert into tallyback.stock_1 (merchant, sku, on_hand, reserved, received, sold, taken_back, adjusted, committed,
    allow_negative, changed_at, revision, position) values ('thin', 'air', 1, 0, 1, 0, 0, 0, 0, true, now(), 0, 1);
  update tallyback.balance_1 set paid_minor = paid_minor + 100 where (member, currency) = ('member-1', 'EUR');`;

test('everything that is right is right, in one slice or many', async () => {
  const house = await written();
  const whole = await audit(house);
  expect(whole.tables.map(({ readModel, differences }) => [readModel, differences])).toEqual(
    readModels.map(({ name }) => [name, 0]),
  );
  expect(new Map(whole.money.map(({ currency, imbalance }) => [currency, imbalance]))).toEqual(
    new Map([
      ['EUR', 0n],
      ['GBP', 0n],
    ]),
  );
  expect(whole.slices).toBe(1);
  const sliced = await audit(house, { sliceRows: 50 });
  expect(sliced.slices).toBeGreaterThan(5);
  expect(sliced.tables).toEqual(whole.tables);
  expect(new Set(sliced.money)).toEqual(new Set(whole.money));
});

test('what is planted is found, in one slice or many, also when most rows are gone', async () => {
  const house = await written();
  await house.pool.query(planted);
  for (const limits of [{}, { sliceRows: 40 }]) {
    const { tables, money } = await audit(house, limits);
    const found = tables.flatMap(({ readModel, examples }) =>
      examples.map(({ column, stored, right }) => [
        readModel,
        column,
        stored === undefined,
        right === undefined,
      ]),
    );
    expect(new Set(found)).toEqual(
      new Set([
        ['balance', 'paid_minor', false, false],
        ['balance', 'amounts: bank', false, false],
        ['orders', 'row', true, false],
        ['stock', 'row', false, true],
        ['figures', 'sales_minor', false, false],
        ['leaderboard', 'position', false, false],
      ]),
    );
    expect(money.find(({ currency }) => currency === 'EUR')?.imbalance).toBe(100n);
  }
  await house.pool.query('truncate tallyback.statement_1, tallyback.balance_1, tallyback.figures_1');
  const { tables, slices } = await audit(house, { sliceRows: 60 });
  expect(slices).toBeGreaterThan(1);
  const statement = tables.find(({ readModel }) => readModel === 'statement');
  expect(statement?.differences).toBeGreaterThan(100);
});

test('the command says so, keeps what it finds, and its exit code tells', { timeout: 120_000 }, async () => {
  const house = await written();
  const run = async (...names: string[]): Promise<{ readonly code: number; readonly said: string }> => {
    const command = startTallyback(['audit', ...names], { DATABASE_URL: house.url });
    return { code: await command.exited, said: command.output() };
  };
  const right = await run();
  expect(right.said).toMatch(/figures\s+generation 1 at \S+\s+\d+ rows, \d+ events: as the log says/);
  expect(right.said).toMatch(/GBP\s+owed \d+, paid \d+, debt \d+ minor units: balanced/);
  expect(right.code).toBe(0);

  await house.pool.query(planted);
  const wrong = await run();
  expect(wrong.code).toBe(1);
  expect(wrong.said).toMatch(/balance .*1 ROWS DIFFER/);
  expect(wrong.said).toMatch(/member-1 \/ EUR {2}paid_minor: stored \d+, right \d+/);
  expect(wrong.said).toMatch(/EUR .*OFF BY 100/);
  expect((await house.open()).map(({ readModel }) => readModel).toSorted()).toEqual(
    ['balance', 'balance', 'figures', 'leaderboard', 'orders', 'stock'].toSorted(),
  );
  expect((await run('programme')).code).toBe(0);

  await house.pool.query(
    `update tallyback.balance_1 set paid_minor = paid_minor - 100 where (member, currency) = ('member-1', 'EUR')`,
  );
  expect((await run('balance')).code).toBe(0);
  expect((await house.open()).map(({ readModel }) => readModel)).not.toContain('balance');
  expect((await run('no-such')).code).toBe(2);
});
