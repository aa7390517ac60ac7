/** Read models whose declaration changes from one release to the next, while both run. */
import { describe, expect, test, vi } from 'vitest';
import { comparePositions, logStart } from '../../src/eventstore/port.ts';
import { defineReadModel } from '../../src/projections/engine/read-model.ts';
import { around } from './support/around.ts';
import { caughtUp, type House, openHouse, serves, type Started, until } from './support/house.ts';
import { someHistory } from './support/history.ts';
import { tally } from './support/tally.ts';

vi.setConfig({ testTimeout: 120_000 });

/** Counts twice. */
const doubled = defineReadModel({
  ...tally,
  version: 2,
  table: { columns: tally.table.columns, key: ['stream'] },
  fold: (row, { stream, revision }) => ({
    stream,
    events: (row?.events ?? 0n) + 2n,
    revision: BigInt(revision),
  }),
});

const widened = defineReadModel({
  ...tally,
  version: 2,
  table: {
    columns: { ...tally.table.columns, last: { type: 'timestamptz', nullable: true } },
    key: ['stream'],
  },
  fold: (row, { stream, revision, event }) => ({
    stream,
    events: (row?.events ?? 0n) + 1n,
    revision: BigInt(revision),
    last: event.data.occurredAt,
  }),
});

const narrowed = defineReadModel({
  ...tally,
  version: 2,
  table: { columns: { stream: 'text', events: 'bigint' }, key: ['stream'] },
  fold: (row, { stream }) => ({ stream, events: (row?.events ?? 0n) + 1n }),
});

type Newer = typeof doubled | typeof widened | typeof narrowed;

/** An instance of the new release that stops before a call, until it is let go. */
async function newer(house: House, model: Newer, stop: string): Promise<{ one: Started; go: () => void }> {
  let go = (): void => undefined;
  const gone = new Promise<void>((resolve) => (go = resolve));
  const storage = around(house.storage(), async (method, _, call) => {
    if (method === stop) await gone;
    return call();
  });
  return { one: await house.start({ models: [model], storage }), go };
}

/** Everything is there once, by the word of a fold from the start. */
async function expectSound(house: House, models: Parameters<House['dump']>[0] = []): Promise<void> {
  for (const model of models) {
    const before = await house.dump([model]);
    await house.rebuild([model]);
    expect(await house.dump([model])).toBe(before);
  }
}

describe('a new release', () => {
  test.each([
    ['with another fold', doubled],
    ['without a column', narrowed],
  ] as const)('%s reads what the old one keeps up until its own is built', async (_, model) => {
    const house = await openHouse();
    const history = someHistory(300, 51);
    const old = await house.start({ models: [tally] });
    await house.historian.append(history.slice(0, 100));
    await caughtUp(old, house.store, [tally]);
    const { one, go } = await newer(house, model, 'freeze');
    expect(serves(one, model)).toBe(1);
    await house.historian.append(history.slice(100, 200));
    await caughtUp(one, house.store, [model]);
    const page = await one.reader.list(model, { limit: 1_000 });
    expect(page.through).toEqual(await house.store.head());
    const sum = page.rows.reduce((total, { events }) => total + events, 0n);
    go();
    await until(() => serves(one, model) === 2);
    await caughtUp(one, house.store, [model]);
    const own = await one.reader.list(model, { limit: 1_000 });
    expect(own.rows.reduce((total, { events }) => total + events, 0n)).toBe(
      model === doubled ? 2n * sum : sum,
    );

    // Both go on, each with its own.
    await house.historian.append(history.slice(200));
    await caughtUp(one, house.store, [model]);
    await caughtUp(old, house.store, [tally]);
    expect(serves(old, tally)).toBe(1);
    await one.stop();
    await old.stop();
    await expectSound(house, [tally, model]);
  });

  test('with another column has nothing to read before', async () => {
    const house = await openHouse();
    const old = await house.start({ models: [tally] });
    await house.historian.append(someHistory(100, 52));
    await caughtUp(old, house.store, [tally]);
    const { one, go } = await newer(house, widened, 'freeze');
    expect(serves(one, widened)).toBeUndefined();
    await expect(one.reader.list(widened, { limit: 1 })).rejects.toMatchObject({ name: 'ReadModelMissing' });
    // Who waits for it waits until it is there.
    const reached = caughtUp(one, house.store, [widened]);
    go();
    await reached;
    const { rows } = await one.reader.list(widened, { limit: 1_000 });
    expect(rows.length).toBeGreaterThan(10);
    expect(rows.every(({ last }) => last instanceof Date)).toBe(true);
    expect((await old.reader.list(tally, { limit: 1_000 })).rows).toHaveLength(rows.length);
  });

  test('sets no reader back when its own takes over, however far the old one has got meanwhile', async () => {
    const house = await openHouse();
    const history = someHistory(400, 53);
    const old = await house.start({ models: [tally], limits: { maxEvents: 5 } });
    await house.historian.append(history.slice(0, 100));
    await caughtUp(old, house.store, [tally]);
    // It has caught up and compared when the log goes on.
    const { one, go } = await newer(house, doubled, 'freeze');
    await until(() => house.lines.filter((line) => line === 'projection:tally/2: catching-up').length >= 2);
    await house.historian.append(history.slice(100, 200));
    await caughtUp(one, house.store, [doubled]);
    let last = logStart;
    const over = new AbortController();
    const reading = (async () => {
      while (!over.signal.aborted) {
        const { through } = await one.reader.list(doubled, { limit: 1 });
        expect(comparePositions(through, last)).toBeGreaterThanOrEqual(0);
        last = through;
      }
    })();
    await until(() => last.commit === 200n);
    const writing = house.historian.append(history.slice(200));
    go();
    await until(() => serves(one, doubled) === 2);
    await writing;
    await caughtUp(one, house.store, [doubled]);
    await caughtUp(old, house.store, [tally]);
    over.abort();
    await reading;
  });

  test('can be taken back: the old one goes on where it stood', async () => {
    const house = await openHouse();
    const history = someHistory(300, 54);
    const old = await house.start({ models: [tally] });
    await house.historian.append(history.slice(0, 100));
    await caughtUp(old, house.store, [tally]);
    await old.stop();
    const one = await house.start({ models: [doubled] });
    await until(() => serves(one, doubled) === 2);
    await house.historian.append(history.slice(100, 200));
    await caughtUp(one, house.store, [doubled]);
    await one.stop();
    const back = await house.start({ models: [tally] });
    expect(serves(back, tally)).toBe(1);
    await house.historian.append(history.slice(200));
    await caughtUp(back, house.store, [tally]);
    expect(back.status()[0]?.events).toBe(200);
    await back.stop();
    // And forward again.
    const again = await house.start({ models: [doubled] });
    expect(serves(again, doubled)).toBe(2);
    await caughtUp(again, house.store, [doubled]);
    await again.stop();
    await expectSound(house, [tally, doubled]);
  });
});

describe('a database that is newer than the code', () => {
  test('is refused: its layout', async () => {
    const house = await openHouse();
    await (await house.start({ models: [tally] })).stop();
    await house.pool.query('update tallyback.schema_version set version = version + 1');
    const before = await house.dump([tally]);
    await expect(house.start({ models: [tally] })).rejects.toMatchObject({
      name: 'OtherVersion',
      message: expect.stringContaining('newer release'),
    });
    expect(await house.dump([tally])).toBe(before);
  });

  test('is refused: a read model', async () => {
    const house = await openHouse();
    await (await house.start({ models: [doubled] })).stop();
    await expect(house.start({ models: [tally] })).rejects.toMatchObject({
      name: 'OtherVersion',
      message: expect.stringMatching(/tally in the database is of version 2.*knows 1/),
    });
    const generations = await house.storage().generations();
    expect(generations.map(({ version }) => version)).toEqual([2]);
  });
});
