/** Several instances on one database: who leads what, and what becomes of it when one goes. */
import pg from 'pg';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { startProjections } from '../../src/projections/engine/engine.ts';
import type { Duty } from '../../src/projections/engine/leases.ts';
import type { ReadModel } from '../../src/projections/engine/read-model.ts';
import { around, hanging } from './support/around.ts';
import { caughtUp, type House, newInstance, openHouse, quick, type Started, until } from './support/house.ts';
import { someHistory } from './support/history.ts';
import { tally } from './support/tally.ts';

vi.setConfig({ testTimeout: 120_000 });

const models = ['one', 'two', 'three', 'four'].map((name): ReadModel => ({ ...tally, name }));
const policies = ['policy:a', 'policy:b'];
const all = [...models.map(({ name }) => `projection:${name}/1`), ...policies];

/** Does nothing, as long as it leads. */
const policy = (name: string): Duty => ({
  name,
  lead: (_, signal) =>
    new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true })),
});
const duties = (): Duty[] => policies.map(policy);
/** Far more than a test takes: who takes over did not wait for it. */
const longLease = { beat: 50, lease: 3_600_000 };

const shares = (instances: readonly Started[]): number[] => instances.map((one) => one.leading().length);
const allLed = (instances: readonly Started[]): boolean =>
  JSON.stringify(instances.flatMap((one) => one.leading()).toSorted()) === JSON.stringify(all.toSorted());
const shared = (instances: readonly Started[], ...counts: readonly number[]): Promise<void> =>
  until(() => allLed(instances) && shares(instances).every((share, i) => share === counts[i]));

/** All tables hold the same: each event once. */
async function expectSame(house: House): Promise<void> {
  const [first, ...others] = await Promise.all(
    models.map(async (model) => (await house.dump([model])).split('\n').slice(1)),
  );
  expect(first?.length).toBeGreaterThan(10);
  for (const other of others) expect(other).toEqual(first);
}

/** An instance that dies without a word when it is told to: nothing of it reaches the database any more. */
async function mortal(house: House, lease: number): Promise<{ projections: Started; die: () => void }> {
  let isDead = false;
  const storage = around(house.storage({ checkpoints: policies }), (_, __, call) =>
    isDead ? hanging() : call(),
  );
  const projections = await startProjections({
    store: house.store,
    storage,
    models,
    instance: newInstance(),
    log: () => undefined,
    duties,
    delays: { ...quick, lease },
  });
  // It listens all the same, on a connection that has to be given back.
  onTestFinished(() => projections.progress.close());
  const reader = { ...projections, reader: (await house.start({ models: [], projects: false })).reader };
  return { projections: reader, die: () => (isDead = true) };
}

describe('instances', () => {
  test('share out projections and policies evenly, whoever joins, dies without a word, or ends', async () => {
    const house = await openHouse();
    const { historian, store } = house;
    const history = someHistory(300, 21);
    const next = (): Promise<bigint> => historian.append(history.splice(0, 50));
    const start = (): Promise<Started> =>
      house.start({
        models,
        duties,
        storage: house.storage({ checkpoints: policies }),
        delays: longLease,
        limits: { maxEvents: 5 },
      });
    const first = await start();
    await shared([first], 6);
    await next();
    const { projections: victim, die } = await mortal(house, 2_000);
    await shared([first, victim], 3, 3);
    await next();
    const third = await start();
    await shared([first, victim, third], 2, 2, 2);
    const writing = next();
    die();
    await shared([first, third], 3, 3);
    await writing;
    await next();
    await caughtUp(first, store, models);
    const writingOn = next();
    await third.stop();
    expect(third.leading()).toEqual([]);
    await shared([first], 6);
    await writingOn;
    await next();
    await caughtUp(first, store, models);
    await expectSame(house);
  });

  test('that only read see what others do, and lead what they are told to', async () => {
    const house = await openHouse();
    const storage = house.storage({ checkpoints: policies });
    const reading = await house.start({ models, duties, projects: false, storage });
    await until(() => reading.leading().length === 2);
    await house.historian.append(someHistory(50, 22));
    const projecting = await house.start({ models, storage });
    await caughtUp(reading, house.store, models);
    expect(reading.leading().toSorted()).toEqual(policies);
    expect(projecting.leading()).toHaveLength(4);
    expect(reading.status()).toEqual([]);
    const [model] = models;
    const page = await reading.reader.list(model ?? tally, { limit: 1_000 });
    expect(page.through).toEqual(await house.store.head());
    expect(page.rows.length).toBeGreaterThan(10);
  });

  test.each(['rejects', 'hangs'] as const)(
    'that cannot say they live (it %s) stop by themselves, and come back when they can',
    async (how) => {
      const house = await openHouse();
      let isCutOff = false;
      let waiting: (() => void)[] = [];
      const ledBy = new Map<string, number>();
      // Everything else goes through: nothing but the beat tells it that it counts as dead.
      const storage = around(house.storage(), async (method, _, call) => {
        if (method !== 'beat' || !isCutOff) return call();
        if (how === 'rejects') throw new Error('no connection');
        await new Promise<void>((resolve) => waiting.push(resolve));
        return call();
      });
      const own = models.slice(0, 2);
      const cutOff = await house.start({ models: own, storage, delays: { lease: 500 } });
      await house.historian.append(someHistory(50, 23));
      await caughtUp(cutOff, house.store, own);
      expect(cutOff.leading()).toHaveLength(2);
      isCutOff = true;
      await until(() => cutOff.leading().length === 0);
      expect(cutOff.status().map(({ state }) => state)).toEqual(['standby', 'standby']);
      const other = await house.start({ models: own, delays: longLease });
      await until(() => other.leading().length === 2);
      isCutOff = false;
      for (const go of waiting.splice(0)) go();
      waiting = [];
      await until(() => cutOff.leading().length === 1 && other.leading().length === 1);
      await house.historian.append(someHistory(50, 24).map((one) => ({ ...one, stream: `${one.stream}-` })));
      await caughtUp(cutOff, house.store, own);
      for (const { name, fenced } of [...cutOff.status(), ...other.status()]) ledBy.set(name, fenced);
      expect([...ledBy.values()]).toEqual([0, 0]);
    },
  );

  test('go on with all else while a checkpoint is held by the transaction of one that hangs', async () => {
    const house = await openHouse();
    await house.storage().prepare(models);
    const stuck = new pg.Client({ connectionString: house.url });
    await stuck.connect();
    onTestFinished(() => stuck.end());
    await stuck.query(`begin; select from tallyback.checkpoint where name = 'projection:two/1' for update`);

    const others = models.filter(({ name }) => name !== 'two');
    const running = await Promise.all([1, 2].map(() => house.start({ models, delays: { lease: 1_000 } })));
    const [first] = running;
    if (!first) throw new Error('none runs');
    await until(() => running.reduce((sum, one) => sum + one.leading().length, 0) === 3);
    await house.historian.append(someHistory(50, 25));
    for (const one of running) await caughtUp(one, house.store, others);
    // Both still say that they live, long after their leases would have run out.
    const { rows } = await house.pool.query<{ until: Date }>(
      'select max(live_until) as until from tallyback.instance',
    );
    await until(async () => {
      const late = await house.pool.query(
        `select from tallyback.instance where live_until > $1::timestamptz + interval '2 seconds'`,
        [rows[0]?.until],
      );
      return late.rowCount === 2;
    });
    expect(running.reduce((sum, one) => sum + one.leading().length, 0)).toBe(3);
    await stuck.query('commit');
    await caughtUp(first, house.store, models);
    await expectSame(house);
  });
});
