import { expect, test } from 'vitest';
import { readModels } from '../../src/projections/index.ts';
import { caughtUp, openHouse, serves, until } from './support/house.ts';
import { someHistory } from './support/history.ts';

test('tables are the same to the byte, live in small steps and rebuilt in big ones', async () => {
  const house = await openHouse();
  const { store, historian, start, dump, pool } = house;
  const live = await start({ limits: { maxEvents: 7, cachedRows: 3 } });
  const history = someHistory(700, 1);
  await historian.append(history);
  await caughtUp(live, store);
  await live.stop();
  const before = await dump();
  expect(before.split('\n').length).toBeGreaterThan(400);

  const numbers = await house.askForRebuild();
  expect(numbers).toEqual(readModels.map(() => 2));
  const rebuilding = await start();
  await until(() => readModels.every((model) => serves(rebuilding, model) === 2));
  expect(await dump()).toBe(before);

  // What is told to those who look on: everything was read, nothing is left to do, and nothing differs.
  const { rows } = await pool.query(
    `select target, events, remaining_seconds, (report->'comparison'->>'differences') as differences
     from tallyback.generation where number = 2`,
  );
  expect(rows).toHaveLength(readModels.length);
  const target = `${history.length}/${history.length}`;
  for (const row of rows) {
    expect(row).toMatchObject({ target, events: '700', remaining_seconds: 0, differences: '0' });
  }
}, 90_000);
