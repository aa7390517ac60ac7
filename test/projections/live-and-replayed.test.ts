import { expect, test } from 'vitest';
import { replayReadModel, type ReplayProgress } from '../../src/projections/engine/replay.ts';
import { readModels } from '../../src/projections/index.ts';
import { caughtUp, openHouse } from './support/house.ts';
import { someHistory } from './support/history.ts';

test('tables are the same to the byte, live in small steps and replayed in big ones', async () => {
  const { store, historian, start, dump, pool } = await openHouse();
  const live = await start({ maxEvents: 7, cachedRows: 3 });
  const history = someHistory(700, 1);
  await historian.append(history);
  await caughtUp(live, store);
  await live.stop();
  const before = await dump();
  expect(before.split('\n').length).toBeGreaterThan(400);

  const reports: ReplayProgress[] = [];
  for (const model of readModels) {
    const result = await replayReadModel({
      store,
      pool,
      model,
      onProgress: (report) => reports.push(report),
    });
    expect(result).toMatchObject({ finished: true, events: history.length });
  }
  expect(await dump()).toBe(before);
  expect(reports.at(-1)?.position).toEqual(await store.head());
  expect(reports.at(-1)?.remainingSeconds).toBe(0);
});
