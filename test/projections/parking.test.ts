/** What cannot be folded is set aside with all that comes after it, in order, and everything else goes on. */
import { randomUUID } from 'node:crypto';
import { expect, test, vi } from 'vitest';
import { decodeEvent, eventTypeOf } from '../../src/domain/codec.ts';
import { logStart, type RecordedEvent } from '../../src/eventstore/port.ts';
import type { ReadModel } from '../../src/projections/engine/read-model.ts';
import type { WriteBatch } from '../../src/projections/engine/storage.ts';
import { stock } from '../../src/projections/index.ts';
import { around } from './support/around.ts';
import { caughtUp, type House, openHouse, serves, until } from './support/house.ts';
import { someHistory } from './support/history.ts';
import { brittle, mended, tally } from './support/tally.ts';

vi.setConfig({ testTimeout: 120_000 });

interface Parked {
  readonly scope: string;
  readonly commit: string;
  readonly stream: string;
  readonly error: string | null;
  readonly stack: string | null;
}

const parkedIn = async (house: House, number = 1): Promise<Parked[]> =>
  (
    await house.pool.query<Parked>(
      `select scope, commit::text, stream, error, stack from tallyback.parked_event
       where model = 'brittle' and number = $1 order by scope, commit`,
      [number],
    )
  ).rows;

async function wholeLog(house: House): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = [];
  const end = new AbortController();
  for await (const batch of house.store.subscribe({ after: logStart, signal: end.signal })) {
    events.push(...batch.events);
    if (batch.caughtUp) break;
  }
  return events;
}

/** What is to be parked: of every stream, from its first return on, all that concerns the read model. */
async function toBeParked(house: House): Promise<{ scope: string; commit: string }[]> {
  const handled = new Set<string>(tally.handles);
  const broken = new Set<string>();
  const parked: { scope: string; commit: string }[] = [];
  for (const recorded of await wholeLog(house)) {
    const type = eventTypeOf(recorded.type);
    if (type === undefined || !handled.has(type)) continue;
    if (type === 'ReturnTaken') broken.add(recorded.stream);
    if (!broken.has(recorded.stream)) continue;
    const scope = `row:${JSON.stringify([recorded.stream])}`;
    parked.push({ scope, commit: String(recorded.position.commit) });
  }
  return parked.toSorted((a, b) =>
    a.scope === b.scope ? Number(BigInt(a.commit) - BigInt(b.commit)) : a.scope < b.scope ? -1 : 1,
  );
}

const places = (parked: readonly Parked[]): { scope: string; commit: string }[] =>
  parked
    .map(({ scope, commit }) => ({ scope, commit }))
    .toSorted((a, b) =>
      a.scope === b.scope ? Number(BigInt(a.commit) - BigInt(b.commit)) : a.scope < b.scope ? -1 : 1,
    );

/** Rows of the table by their stream. */
async function rowsOf(house: House, model: ReadModel): Promise<Map<string, string>> {
  const { rows } = await house.pool.query<{ stream: string; row: string }>(
    `select stream, t::text as row from tallyback.${await house.table(model)} t`,
  );
  return new Map(rows.map(({ stream, row }) => [stream, row]));
}

test.each([2_000, 5])(
  'a row that cannot take an event in waits with all that follows (batches of %i)',
  async (maxEvents) => {
    const house = await openHouse();
    const models = [brittle, tally, stock];
    const history = someHistory(400, 71);
    await house.historian.append(history.slice(0, 200));
    const first = await house.start({ models, limits: { maxEvents } });
    await caughtUp(first, house.store, models);
    expect(places(await parkedIn(house))).toEqual(await toBeParked(house));
    // It stands as it was before: the engine has not stopped, only the rows have.
    expect(first.status().find(({ name }) => name === 'brittle')).toMatchObject({ state: 'live' });
    await first.stop();
    // What is parked stays so for whoever comes next.
    const second = await house.start({ models, limits: { maxEvents } });
    await house.historian.append(history.slice(200));
    await caughtUp(second, house.store, models);
    await second.stop();

    const parked = await parkedIn(house);
    expect(places(parked)).toEqual(await toBeParked(house));
    expect(parked.length).toBeGreaterThan(5);
    const seen = new Set<string>();
    for (const { scope, error, stack } of parked) {
      const isFirst = !seen.has(scope);
      seen.add(scope);
      expect(error ?? '').toMatch(isFirst ? /no returns, please/ : /^$/);
      expect(stack === null).toBe(!isFirst);
    }
    const [sound, all] = [await rowsOf(house, brittle), await rowsOf(house, tally)];
    for (const [stream, row] of all) {
      if (!seen.has(`row:${JSON.stringify([stream])}`)) expect(sound.get(stream)).toBe(row);
    }

    // Put right and folded anew, nothing is left aside.
    await house.rebuild([mended]);
    expect(await parkedIn(house, 2)).toEqual([]);
    expect(await rowsOf(house, mended)).toEqual(all);
  },
);

test('an event that cannot be read sets its stream aside, and no other', async () => {
  const house = await openHouse();
  const models = [mended, tally, stock];
  await house.historian.append(someHistory(60, 72));
  const sold = (await wholeLog(house)).find(({ type }) => eventTypeOf(type) === 'StockSold');
  if (!sold) throw new Error('nothing was sold');
  expect(decodeEvent(sold).type).toBe('StockSold');
  const raw = (data: string) => ({ id: randomUUID(), type: sold.type, data, metadata: '{}' });
  const stored = await house.store.append('item-broken', -1, [
    raw(sold.data),
    raw('{"quantity":'),
    raw(sold.data),
    raw(sold.data),
  ]);
  if (stored.kind !== 'appended') throw new Error(stored.kind);
  const end = stored.position.commit;
  const running = await house.start({ models });
  await caughtUp(running, house.store, models);
  await house.historian.append(someHistory(60, 73).map((one) => ({ ...one, stream: `${one.stream}-more` })));
  await caughtUp(running, house.store, models);
  const parked = await parkedIn(house);
  expect(parked.map(({ scope }) => scope)).toEqual(Array.from({ length: 3 }, () => 'stream:item-broken'));
  expect(parked.map(({ commit }) => BigInt(commit))).toEqual([end - 2n, end - 1n, end]);
  expect(parked.map(({ error }) => error === null)).toEqual([false, true, true]);
  const rows = await rowsOf(house, tally);
  expect(rows.get('item-broken')).toMatch(/^\(item-broken,1,0,/);
  expect(rows.size).toBeGreaterThan(20);
  // What was sold by that item counts as far as it could be read.
  expect(running.status().every(({ state }) => state === 'live')).toBe(true);
});

test.each(['is lost', 'is done, but its answer is lost'])(
  'a write that %s parks nothing twice',
  async (what) => {
    const house = await openHouse();
    const models = [brittle];
    await house.historian.append(someHistory(200, 74));
    let faults = 0;
    const isParking = (batch: unknown): batch is WriteBatch =>
      typeof batch === 'object' &&
      batch !== null &&
      'parked' in batch &&
      Array.isArray(batch.parked) &&
      batch.parked.length > 0;
    const storage = around(house.storage(), async (method, [batch], call) => {
      if (method !== 'write' || !isParking(batch) || faults++ % 2 === 1) return call();
      if (what !== 'is lost') await call();
      throw new Error('connection lost');
    });
    const running = await house.start({ models, storage });
    await caughtUp(running, house.store, models);
    expect(faults).toBeGreaterThan(1);
    expect(places(await parkedIn(house))).toEqual(await toBeParked(house));
  },
);

test('a trial or a swap of the fold put right takes nothing along that was set aside', async () => {
  const house = await openHouse();
  const history = someHistory(600, 76);
  await house.historian.append(history.slice(0, 200));
  const failing = await house.start({ models: [brittle] });
  await caughtUp(failing, house.store, [brittle]);
  await failing.stop();
  const aside = await parkedIn(house);
  expect(aside.length).toBeGreaterThan(0);
  // It comes to something else, so it waits; and while it waits what was set aside stays so.
  await house.askForRebuild([mended]);
  const running = await house.start({ models: [mended] });
  await until(async () => {
    const { rowCount } = await house.pool.query(`select from tallyback.generation where stage = 'differs'`);
    return rowCount === 1;
  });
  expect(serves(running, mended)).toBe(1);
  await house.historian.append(history.slice(200));
  await caughtUp(running, house.store, [mended]);
  expect((await parkedIn(house)).length).toBeGreaterThan(aside.length);
  expect(await parkedIn(house, 2)).toEqual([]);
});
