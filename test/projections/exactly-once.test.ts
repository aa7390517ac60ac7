import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { logStart } from '../../src/eventstore/port.ts';
import { Fenced } from '../../src/projections/engine/errors.ts';
import { LocalFolder } from '../../src/projections/engine/folder.ts';
import { Line } from '../../src/projections/engine/line.ts';
import { Parking } from '../../src/projections/engine/parking.ts';
import type { ReadModel } from '../../src/projections/engine/read-model.ts';
import { balance, readModels } from '../../src/projections/index.ts';
import { caughtUp, openHouse, serves, until } from './support/house.ts';
import { someHistory } from './support/history.ts';
import { tally } from './support/tally.ts';

describe('exactly once', () => {
  test('connections are killed at any time', async () => {
    const { store, historian, start, dump, url, rebuild } = await openHouse();
    const models = [tally, ...readModels];
    const projections = await start({ models, limits: { maxEvents: 5, cachedRows: 10 } });
    const admin = new pg.Client({ connectionString: url, application_name: 'killer' });
    await admin.connect();
    const written = new AbortController();
    const killing = (async () => {
      while (!written.signal.aborted) {
        await admin.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where datname = current_database() and application_name = '' and pid <> pg_backend_pid() and random() < 0.4`,
        );
        await new Promise((resolve) => setTimeout(resolve, 15));
      }
    })();
    const history = someHistory(300, 2);
    for (let i = 0; i < history.length; i += 50) await historian.append(history.slice(i, i + 50));
    written.abort();
    await killing;
    await admin.end();
    await caughtUp(projections, store, models);
    await projections.stop();

    const before = await dump(models);
    await rebuild(models);
    expect(await dump(models)).toBe(before);
  }, 60_000);

  test('of two that run at the same time each writes its share, and no event counts twice', async () => {
    const { store, historian, start, dump, rebuild } = await openHouse();
    const models = [tally, balance];
    const history = someHistory(450, 3);
    await historian.append(history.slice(0, 150));
    const first = await start({ models, limits: { maxEvents: 3 } });
    await until(() => first.status().every(({ events }) => events > 0));
    expect(first.leading()).toHaveLength(2);
    const second = await start({ models, limits: { maxEvents: 3 } });
    await historian.append(history.slice(150, 300));
    await until(() => first.leading().length === 1 && second.leading().length === 1);
    expect([...first.leading(), ...second.leading()].toSorted()).toEqual([
      'projection:balance/1',
      'projection:tally/1',
    ]);
    // Either one sees how far the other is.
    await caughtUp(second, store, models);
    await caughtUp(first, store, models);

    await second.stop();
    await historian.append(history.slice(300));
    await caughtUp(first, store, models);
    await until(() => first.status().every(({ state }) => state === 'live'));
    await first.stop();
    // The hand-over was orderly: nobody wrote to what was somebody else's.
    for (const { fenced } of [...first.status(), ...second.status()]) expect(fenced).toBe(0);
    const before = await dump(models);
    await rebuild(models);
    expect(await dump(models)).toBe(before);
  });

  test('a writer that was paused while another took over is refused before it writes anything', async () => {
    const { pool, store, historian, start, dump, storage } = await openHouse();
    const zombies = storage();
    await zombies.prepare([tally]);
    await historian.append(someHistory(50, 4));
    await zombies.beat({ instance: 'zombie', able: [], ttl: 60_000 });
    const held = await zombies.claim('projection:tally/1', 'zombie');
    const [generation] = await zombies.generations();
    if (!held || !generation) throw new Error('nothing to hold');
    // Paused until long after its lease.
    await pool.query(`update tallyback.instance set live_until = now() - interval '1 second'`);

    const projections = await start({ models: [tally] });
    await caughtUp(projections, store, [tally]);
    const before = await dump([tally]);
    const batches = [];
    const end = new AbortController();
    for await (const batch of store.subscribe({ after: logStart, signal: end.signal })) {
      batches.push(batch);
      if (batch.caughtUp) break;
    }
    const broken: ReadModel = {
      ...tally,
      fold: () => {
        throw new Error('cannot');
      },
    };
    const head = await store.head();
    // With rows, with nothing but a checkpoint, with rows and parked events, with nothing but parked events.
    const nothing: ReadModel = { ...tally, handles: [] };
    const first = batches[0]?.events.find(({ type }) => type.includes('OrderTracked'));
    for (const [model, parkAt] of [
      [tally, undefined],
      [nothing, undefined],
      [tally, head],
      [broken, first?.position],
    ] as const) {
      const line = new Line({
        storage: zombies,
        model,
        generation,
        held,
        openFolder: (unwritten) =>
          new LocalFolder({
            storage: zombies,
            model,
            generation,
            parking: new Parking(
              model === tally && parkAt ? new Set([`row:["${first?.stream}"]`]) : new Set(),
              parkAt,
            ),
            cachedRows: 10,
            fromNothing: false,
            unwritten,
          }),
        mostPending: 10,
        leastPending: () => 1,
        clock: () => 0,
        committed: () => undefined,
        failed: () => undefined,
      });
      const fed = line.feed(batches).then(() => line.save());
      await expect(fed).rejects.toThrow(Fenced);
      await line.close();
    }
    expect(await dump([tally])).toBe(before);
    expect((await pool.query('select from tallyback.parked_event')).rowCount).toBe(0);
  });

  test('a writer that dies without a word is replaced', async () => {
    const { store, historian, start, storage } = await openHouse();
    const dead = storage();
    await dead.prepare([tally]);
    await dead.beat({ instance: 'dead', able: ['projection:tally/1'], ttl: 500 });
    // Claimed, and then nothing more is heard.
    expect(await dead.claim('projection:tally/1', 'dead')).toBeDefined();
    const projections = await start({ models: [tally] });
    await historian.append(someHistory(20, 5));
    await caughtUp(projections, store, [tally]);
    expect(projections.status()).toMatchObject([{ name: 'tally', state: 'live' }]);
  });
});

test('a read model of another version is built from the start', async () => {
  const { store, historian, start, dump } = await openHouse();
  await historian.append(someHistory(60, 9));
  const old = await start({ models: [tally] });
  await caughtUp(old, store, [tally]);
  const before = await dump([tally]);
  await old.stop();

  const doubled: ReadModel = { ...balance, name: 'tally', version: 2 };
  const next = await start({ models: [doubled] });
  await until(() => serves(next, doubled) === 2);
  await caughtUp(next, store, [doubled]);
  expect(await dump([doubled])).toContain('GBP');
  await next.stop();

  const third = { ...tally, version: 3 };
  const back = await start({ models: [third] });
  await until(() => serves(back, third) === 3);
  await caughtUp(back, store, [third]);
  expect(await dump([third])).toBe(before);
});

test('a rebuild goes on beside a running projector, takes its place, and goes on', async () => {
  const { store, historian, start, dump, askForRebuild, rebuild } = await openHouse();
  const models = [tally, balance];
  const history = someHistory(300, 10);
  await historian.append(history.slice(0, 150));
  const projections = await start({ models, limits: { maxEvents: 10 }, rebuildLimits: { maxEvents: 10 } });
  const appending = historian.append(history.slice(150));
  await askForRebuild([tally]);
  await until(() => serves(projections, tally) === 2);
  await appending;
  await caughtUp(projections, store, models);
  await until(() => projections.leading().length === 2);
  expect(projections.leading().toSorted()).toEqual(['projection:balance/1', 'projection:tally/2']);
  expect(projections.status().find(({ name }) => name === 'balance')).toMatchObject({ fenced: 0 });
  await projections.stop();
  const before = await dump([tally]);
  await rebuild([tally]);
  expect(await dump([tally])).toBe(before);
});
