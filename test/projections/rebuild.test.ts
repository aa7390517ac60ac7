/** A read model folded anew beside the one that serves. */
import { describe, expect, test, vi } from 'vitest';
import { comparePositions, logStart } from '../../src/eventstore/port.ts';
import { around } from './support/around.ts';
import { caughtUp, type House, openHouse, serves, until } from './support/house.ts';
import { someHistory } from './support/history.ts';
import { tally } from './support/tally.ts';

vi.setConfig({ testTimeout: 120_000 });

const models = [tally];

interface Recorded {
  readonly state: string;
  readonly stage: string;
  readonly report: {
    readonly comparison?: { readonly differences: string; readonly examples: unknown };
  } | null;
}

async function generation(house: House, number: number): Promise<Recorded | undefined> {
  const { rows } = await house.pool.query<Recorded>(
    'select state, stage, report from tallyback.generation where number = $1',
    [number],
  );
  return rows[0];
}

const hasTable = async (house: House, table: string): Promise<boolean> =>
  (await house.pool.query(`select from pg_tables where schemaname = 'tallyback' and tablename = $1`, [table]))
    .rowCount === 1;

/** An instance that stops before a call until it is let go on. */
async function stoppedBefore(house: House, stop: string) {
  let reached = (): void => undefined;
  const there = new Promise<void>((resolve) => (reached = resolve));
  let go = (): void => undefined;
  const gone = new Promise<void>((resolve) => (go = resolve));
  const storage = around(house.storage(), async (method, _, call) => {
    if (method === stop) {
      reached();
      await gone;
    }
    return call();
  });
  return { storage, there, go };
}

describe('while it is built', () => {
  test.each(['index', 'compare', 'freeze'])('the other one serves and goes on (at %s)', async (stage) => {
    const house = await openHouse();
    const history = someHistory(300, 31);
    await house.historian.append(history.slice(0, 100));
    const { storage, there, go } = await stoppedBefore(house, stage);
    const running = await house.start({ models, storage });
    await caughtUp(running, house.store, models);
    await house.askForRebuild(models);
    await there;
    await house.historian.append(history.slice(100, 200));
    await caughtUp(running, house.store, models);
    const page = await running.reader.list(tally, { limit: 1_000 });
    expect(page.through).toEqual(await house.store.head());
    expect(serves(running, tally)).toBe(1);
    const before = await house.dump(models);
    go();
    await until(() => serves(running, tally) === 2);
    expect(await house.dump(models)).toBe(before);
    await house.historian.append(history.slice(200));
    await caughtUp(running, house.store, models);
    expect((await running.reader.list(tally, { limit: 1_000 })).through).toEqual(await house.store.head());
    expect(await generation(house, 1)).toMatchObject({ state: 'kept' });
  });

  test('a busy log can keep the two from meeting no more than for a moment', async () => {
    const house = await openHouse();
    const history = someHistory(6_000, 32);
    const running = await Promise.all([1, 2].map(() => house.start({ models, limits: { maxEvents: 20 } })));
    const [first] = running;
    if (!first) throw new Error('none runs');
    const over = new AbortController();
    const written = (async () => {
      for (let i = 0; i < history.length && !over.signal.aborted; i += 10)
        await house.historian.append(history.slice(i, i + 10));
    })();
    let last = logStart;
    const reading = (async () => {
      while (!over.signal.aborted) {
        const { through } = await first.reader.list(tally, { limit: 1 });
        expect(comparePositions(through, last)).toBeGreaterThanOrEqual(0);
        last = through;
      }
    })();
    for (const number of [2, 3, 4]) {
      expect(await house.askForRebuild(models)).toEqual([number]);
      await until(() => running.every((one) => serves(one, tally) === number));
    }
    over.abort();
    await Promise.all([written, reading]);
    for (const one of running) await caughtUp(one, house.store, models);
    await Promise.all(running.map((one) => one.stop()));
    const before = await house.dump(models);
    await house.rebuild(models);
    expect(await house.dump(models)).toBe(before);
  });
});

describe('a rebuild', () => {
  /** A house with a table in which somebody has meddled, so that it is not what the log says. */
  async function meddled(): Promise<{ house: House; right: string; wrong: string }> {
    const house = await openHouse();
    await house.historian.append(someHistory(150, 33));
    const running = await house.start({ models });
    await caughtUp(running, house.store, models);
    await running.stop();
    const right = await house.dump(models);
    await house.pool.query(
      `update tallyback.tally_1 set events = events + 1 where stream = (select min(stream) from tallyback.tally_1)`,
    );
    return { house, right, wrong: await house.dump(models) };
  }

  test('that comes to something else waits for somebody to accept it, also after a restart', async () => {
    const { house, right, wrong } = await meddled();
    await house.askForRebuild(models);
    for (let start = 0; start < 2; start++) {
      const running = await house.start({ models });
      await until(async () => (await generation(house, 2))?.stage === 'differs');
      await caughtUp(running, house.store, models);
      expect(serves(running, tally)).toBe(1);
      await running.stop();
    }
    expect(await house.dump(models)).toBe(wrong);
    const comparison = (await generation(house, 2))?.report?.comparison;
    expect(comparison).toMatchObject({ differences: '1', examples: [{ key: expect.any(String) }] });
    await house.pool.query(
      `update tallyback.generation set accepted = true, stage = 'catching-up' where number = 2`,
    );
    const running = await house.start({ models });
    await until(() => serves(running, tally) === 2);
    expect(await house.dump(models)).toBe(right);
  });

  test('that is only a trial tells what would differ, and leaves nothing', async () => {
    const { house, wrong } = await meddled();
    await house.askForRebuild(models, true);
    const running = await house.start({ models });
    await until(async () => (await generation(house, 2))?.state === 'dropped');
    expect((await generation(house, 2))?.report?.comparison).toMatchObject({ differences: '1' });
    expect(serves(running, tally)).toBe(1);
    expect(await house.dump(models)).toBe(wrong);
    expect(await hasTable(house, 'tally_2')).toBe(false);
    expect([...(await house.storage().positions(undefined)).keys()]).toEqual(['projection:tally/1']);
  });

  test('can be paused, resumed and called off at any time', async () => {
    const { house, wrong } = await meddled();
    const wish = (wanted: string) =>
      house.pool.query('update tallyback.generation set wish = $1 where number = 2', [wanted]);
    await house.askForRebuild(models);
    const running = await house.start({
      models,
      rebuildEventsPerSecond: 20,
      rebuildLimits: { maxEvents: 5 },
    });
    const position = async () =>
      (await house.storage().positions(['projection:tally/2'])).get('projection:tally/2');
    await until(() => running.leading().includes('projection:tally/2'));
    await wish('pause');
    await until(() => !running.leading().includes('projection:tally/2'));
    const paused = await position();
    expect(paused?.commit).toBeLessThan(150n);
    await wish('run');
    await until(() => running.leading().includes('projection:tally/2'));
    await wish('cancel');
    await until(async () => (await generation(house, 2))?.state === 'dropped');
    expect(await hasTable(house, 'tally_2')).toBe(false);
    expect(await house.dump(models)).toBe(wrong);
    await until(() => running.leading().length === 1);
    // Its number is not used again.
    expect(await house.askForRebuild(models)).toEqual([3]);
  });
});
