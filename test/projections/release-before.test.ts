/** A database of the release before: one table for each read model, and no generations, leases or versions. */
import { expect, test, vi } from 'vitest';
import type { ReadModel } from '../../src/projections/engine/read-model.ts';
import { readModels } from '../../src/projections/index.ts';
import { ddl } from '../../src/projections/postgres/table-sql.ts';
import { caughtUp, type House, openHouse } from './support/house.ts';
import { someHistory } from './support/history.ts';

vi.setConfig({ testTimeout: 120_000 });

/** As that release made it. */
const checkpointTable = `
  create schema if not exists tallyback;
  create table if not exists tallyback.checkpoint (
    name text collate "C" primary key,
    version int not null,
    position text collate "C" not null,
    epoch bigint not null,
    updated_at timestamptz not null
  ) with (fillfactor = 50);
  alter table tallyback.checkpoint
    add column if not exists failed_epoch bigint,
    add column if not exists failed_at_position text collate "C",
    add column if not exists error text;`;
const followedLogTable = `
  create table if not exists tallyback.followed_log (
    only_row boolean primary key default true check (only_row),
    store_id text collate "C" not null,
    since timestamptz not null
  );`;
const tableOf = (model: ReadModel): string => {
  const { create, key = '', index } = ddl(model, model.name);
  // Its indexes had names that Postgres chose.
  return `${create} ${key} ${index.replaceAll(/if not exists "[^"]*" /g, '')}`;
};

/** What that release did when it started. */
async function startsBefore(house: House, model: ReadModel): Promise<void> {
  const { rows } = await house.pool.query<{ version: number }>(
    'select version from tallyback.checkpoint where name = $1',
    [`projection:${model.name}`],
  );
  if (rows[0]?.version === model.version) return;
  await house.pool.query(`drop table if exists tallyback.${model.name}; ${tableOf(model)}`);
  await house.pool.query(
    `insert into tallyback.checkpoint as c (name, version, position, epoch, updated_at)
     values ($1, $2, '-1/-1', 0, now())
     on conflict (name) do update set version = $2, position = '-1/-1', epoch = c.epoch + 1, updated_at = now()`,
    [`projection:${model.name}`, model.version],
  );
}

/** A house as that release left it; `recorded`: not the one before that, which did not note the log. */
async function houseBefore(recorded: boolean): Promise<{ house: House; before: string }> {
  const house = await openHouse();
  const now = await house.start();
  await house.historian.append(someHistory(200, 61));
  await caughtUp(now, house.store);
  await now.stop();
  const before = await house.dump();
  await house.pool.query('alter schema tallyback rename to now');
  await house.pool.query(checkpointTable + (recorded ? followedLogTable : ''));
  if (recorded)
    await house.pool.query('insert into tallyback.followed_log (store_id, since) values ($1, now())', [
      house.store.id,
    ]);
  for (const model of readModels) {
    await house.pool.query(tableOf(model));
    await house.pool.query(`insert into tallyback.${model.name} select * from now.${model.name}_1`);
  }
  await house.pool.query(`
    insert into tallyback.checkpoint (name, version, position, epoch, updated_at)
    select replace(name, '/1', ''), version, position, 5, now() from now.checkpoint;
    insert into tallyback.checkpoint (name, version, position, epoch, updated_at)
    values ('policy:order-rebate', 1, '150/150', 7, now()), ('projection:gone', 1, '7/7', 3, now());
    drop schema now cascade`);
  return { house, before };
}

test.each([true, false])(
  'is taken over as it is by several processes that start at once (log recorded: %s)',
  async (recorded) => {
    const { house, before } = await houseBefore(recorded);
    const checkpoints = ['policy:order-rebate', 'policy:order-stock'];
    const running = await Promise.all(
      Array.from({ length: 4 }, () => house.start({ storage: house.storage({ checkpoints }) })),
    );
    expect(await house.dump()).toBe(before);
    const positions = await house.storage().positions(undefined);
    expect(positions.get('policy:order-rebate')).toEqual({ commit: 150n, prepare: 150n });
    for (const { name } of readModels)
      expect(positions.get(`projection:${name}/1`)).toEqual(await house.store.head());
    // Nothing was folded again, and what has been before is refused.
    for (const one of running) await caughtUp(one, house.store);
    for (const one of running) for (const { events } of one.status()) expect(events).toBe(0);
    const old = await house.pool.query(
      `update tallyback.checkpoint set position = '1/1' where name = 'projection:balance' and epoch = 5`,
    );
    expect(old.rowCount).toBe(0);
    const [first] = running;
    if (!first) throw new Error('none runs');
    const more = someHistory(100, 62).map((one) => ({ ...one, stream: `${one.stream}-more` }));
    await house.historian.append(more);
    for (const one of running) await caughtUp(one, house.store);
    await Promise.all(running.map((one) => one.stop()));
    const after = await house.dump();
    expect(after).not.toBe(before);
    await house.rebuild();
    expect(await house.dump()).toBe(after);
  },
);

test('is not harmed by a process of that release that starts once more', async () => {
  const { house, before } = await houseBefore(true);
  const running = await house.start();
  await Promise.all(readModels.map((model) => startsBefore(house, model)));
  expect(await house.dump()).toBe(before);
  const again = await house.start();
  await house.historian.append(someHistory(100, 62).map((one) => ({ ...one, stream: `${one.stream}-more` })));
  await caughtUp(running, house.store);
  await Promise.all([running.stop(), again.stop()]);
  const after = await house.dump();
  await house.rebuild();
  expect(await house.dump()).toBe(after);
});
