/** Which log the read models of a database follow, and what happens when it moves. */
import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type EventStore, logStart, type Position } from '../../src/eventstore/port.ts';
import {
  openPostgresCopy,
  openPostgresEventStore,
} from '../../src/eventstore/postgres/postgres-event-store.ts';
import { systemTiming } from '../../src/projections/engine/edges.ts';
import type { Held, ProjectionStorage } from '../../src/projections/engine/storage.ts';
import { balance, readModels, stock } from '../../src/projections/index.ts';
import { followedLog, followLog } from '../../src/projections/postgres/followed-log.ts';
import { rejection } from '../eventstore/samples.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { Historian, someHistory } from './support/history.ts';
import { caughtUp, type House, openHouse, until } from './support/house.ts';

/** The log of another database, which says what a copy says of itself. */
async function copyOf(house: House, complete = true): Promise<EventStore> {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const copy = await openPostgresCopy({ connectionString: database.url }, house.store.id);
  for await (const batch of house.store.subscribe({
    after: logStart,
    signal: new AbortController().signal,
  })) {
    for (const event of batch.events) await copy.append(event.stream, event.revision - 1, [event]);
    if (batch.caughtUp) break;
  }
  if (complete) await copy.completeCopy();
  await copy.close();
  const opened = await openPostgresEventStore({ connectionString: database.url });
  onTestFinished(() => opened.close());
  return opened;
}

async function otherLog(): Promise<EventStore> {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const opened = await openPostgresEventStore({ connectionString: database.url });
  onTestFinished(() => opened.close());
  return opened;
}

const silent = (): void => undefined;

const policy = 'policy:test';

/** The policy's checkpoint, claimed by an instance that lives. */
async function claimed(storage: ProjectionStorage, name = policy): Promise<Held> {
  await storage.beat({ instance: 'test', able: [], ttl: 60_000 });
  const held = await storage.claim(name, 'test');
  if (!held) throw new Error(`${name} is somebody else's`);
  return held;
}

const positions = (house: House): Promise<ReadonlyMap<string, Position>> =>
  house.storage().positions(undefined);

describe('the log that read models follow', () => {
  test('is recorded at the first start, and is fine at every other', async () => {
    const house = await openHouse();
    await Promise.all(
      Array.from({ length: 6 }, () => followLog(house.pool, house.store, silent, systemTiming)),
    );
    expect(await followedLog(house.pool)).toBe(house.store.id);
    const projections = await house.start();
    await house.historian.append(someHistory(30, 1));
    await caughtUp(projections, house.store);
    await projections.stop();
    const before = await house.dump();
    await followLog(house.pool, house.store, silent, systemTiming);
    expect(await house.dump()).toBe(before);
  });

  test('was the one in the same database where none is recorded, but checkpoints are there', async () => {
    const house = await openHouse();
    const projections = await house.start();
    await house.historian.append(someHistory(30, 1));
    await caughtUp(projections, house.store);
    await projections.stop();
    await house.pool.query('delete from tallyback.followed_log');

    await expect(followLog(house.pool, await otherLog(), silent, systemTiming)).rejects.toThrow(
      /move the log with/,
    );
    await followLog(house.pool, house.store, silent, systemTiming);
    expect(await followedLog(house.pool)).toBe(house.store.id);

    await house.pool.query('delete from tallyback.followed_log');
    await house.pool.query('drop schema tallyback_log cascade');
    await expect(followLog(house.pool, await otherLog(), silent, systemTiming)).rejects.toThrow(
      /that is gone/,
    );
  });

  test('cannot be changed for another one, nor for a copy that is not complete', async () => {
    const house = await openHouse();
    const projections = await house.start();
    await house.historian.append(someHistory(30, 1));
    await caughtUp(projections, house.store);
    await projections.stop();
    const before = await house.dump();
    for (const store of [await otherLog(), await copyOf(house, false)]) {
      const started = house.start({ store });
      await expect(started).rejects.toMatchObject({ name: 'OtherLog' });
      await expect(started).rejects.toThrow(house.store.id);
      await expect(started).rejects.toThrow(store.id);
      await expect(claimed(house.storage({ store }), 'projection:balance/1')).rejects.toMatchObject({
        name: 'OtherLog',
      });
    }
    expect(await house.dump()).toBe(before);
    expect(await followedLog(house.pool)).toBe(house.store.id);
  });

  test('of two that start at once with an empty database, one wins', async () => {
    const house = await openHouse();
    const stores = [house.store, await otherLog(), await otherLog()];
    const results = await Promise.allSettled(
      stores.map((store) => followLog(house.pool, store, silent, systemTiming)),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });
});

describe('a log that has moved', () => {
  test('has all read models folded anew, and policies start over, whoever starts at the same time', async () => {
    const house = await openHouse();
    const projections = await house.start({ storage: house.storage({ checkpoints: [policy] }) });
    await house.historian.append(someHistory(200, 4));
    await caughtUp(projections, house.store);
    const storage = house.storage();
    const held = await claimed(storage);
    expect(await storage.move(held, held.position, await house.store.head())).toBe(true);
    await projections.stop();
    const before = await house.dump();
    // What this code does not know: of a read model that is to come back, or has gone; and what was left aside.
    await house.pool.query(`
      create table tallyback.gone (n int); insert into tallyback.gone values (1);
      insert into tallyback.generation (model, number, version, columns, table_name, state, stage)
      values ('gone', 1, 1, '{}', 'gone', 'kept', 'done');
      insert into tallyback.parked_event (model, number, scope, commit, position, stream, revision, type)
      values ('gone', 1, 'stream:s', 7, '7/7', 's', 0, 'T');
      insert into tallyback.checkpoint (name, version, position, epoch, updated_at)
      values ('projection:gone/1', 1, '7/7', 3, now()), ('projection:never/1', 1, '7/7', 3, now())`);

    const moved = await copyOf(house);
    await Promise.all(
      Array.from({ length: 4 }, () =>
        followLog(house.pool, moved, (line) => house.lines.push(line), systemTiming),
      ),
    );
    const checkpoints = await positions(house);
    expect([...checkpoints.keys()]).toEqual(
      [
        ...readModels.map(({ name }) => `projection:${name}/1`),
        policy,
        'projection:gone/1',
        'projection:never/1',
      ].toSorted(),
    );
    for (const position of checkpoints.values()) expect(position).toEqual(logStart);
    expect((await house.pool.query('select from tallyback.gone')).rowCount).toBe(0);
    expect((await house.pool.query('select from tallyback.parked_event')).rowCount).toBe(0);
    // Who follows changes must hear of it although no position rises.
    for (const { incarnation } of await storage.generations()) expect(incarnation).toBe(2);
    expect(house.lines.filter((line) => line.includes('the event log has moved'))).toHaveLength(1);
    expect(await storage.move(held, await house.store.head(), { commit: 900n, prepare: 900n })).toBe(false);

    const again = await house.start({ store: moved });
    await caughtUp(again, moved);
    expect(await house.dump()).toBe(before);
    expect((await claimed(house.storage({ store: moved }))).position).toEqual(logStart);
    // And there is no way back.
    await expect(followLog(house.pool, house.store, silent, systemTiming)).rejects.toMatchObject({
      name: 'OtherLog',
    });
  });

  test('stops whoever still follows the old one, without a row written', async () => {
    const house = await openHouse();
    const told: string[] = [];
    const models = [balance, stock];
    // Each has one of them.
    const old = await Promise.all(
      ['one', 'other'].map((instance) =>
        house.start({
          models,
          instance,
          onOtherLog: (error) => told.push(`${instance} ${error.name}`),
          limits: { maxEvents: 3 },
        }),
      ),
    );
    const history = someHistory(120, 6);
    await house.historian.append(history.slice(0, 60));
    await until(() => old.every((one) => one.leading().length === 1));
    for (const one of old) await caughtUp(one, house.store, models);
    const moved = await copyOf(house);

    const busy = house.historian.append(history.slice(60, 100));
    await followLog(house.pool, moved, silent, systemTiming);
    await busy;
    await house.historian.append(history.slice(100));
    await until(() => new Set(told).size === 2);
    expect(new Set(told)).toEqual(new Set(['one OtherLog', 'other OtherLog']));
    for (const position of (await positions(house)).values()) expect(position).toEqual(logStart);
    for (const one of old) await one.stop();

    // Nobody is in the way of the new one, and it has only the events of the new log.
    const projections = await house.start({ store: moved, models });
    await caughtUp(projections, moved, models);
    expect(projections.status().every(({ state, fenced }) => state === 'live' && fenced === 0)).toBe(true);
    const expected = await house.dump(models);
    const other = await openHouse();
    await new Historian(other.store).append(history.slice(0, 60));
    const fresh = await other.start({ models });
    await caughtUp(fresh, other.store, models);
    expect(expected).toBe(await other.dump(models));
  });

  test('moves before a claim, which is then refused, or after it, and raises the epoch again', async () => {
    const house = await openHouse();
    const storage = house.storage({ checkpoints: [policy] });
    await storage.prepare(readModels);
    const moved = await copyOf(house);
    const held = await claimed(storage);
    const mover = new pg.Client({ connectionString: house.url });
    await mover.connect();
    onTestFinished(() => mover.end());
    await mover.query('begin');
    await mover.query('update tallyback.followed_log set store_id = $1', [moved.id]);
    let settled = false;
    const names = [policy, 'projection:balance/1', 'projection:stock/1'];
    const claims = names.map((name) => storage.claim(name, 'test'));
    const refusals = claims.map((claim) => rejection(claim));
    void Promise.race(refusals).then(() => (settled = true));
    await new Promise((resolve) => setTimeout(resolve, 300));
    // The old one may still write; whoever claims waits for what the mover decides.
    expect(settled).toBe(false);
    expect(await storage.move(held, logStart, { commit: 1n, prepare: 1n })).toBe(true);
    await mover.query('commit');
    for (const refusal of refusals) expect(await refusal).toMatchObject({ name: 'OtherLog' });
  });

  test('waits for a slow reader, and lets the others read on meanwhile', async () => {
    const house = await openHouse();
    const projections = await house.start();
    await house.historian.append(someHistory(30, 1));
    await caughtUp(projections, house.store);
    await projections.stop();
    const moved = await copyOf(house);
    const reader = new pg.Client({ connectionString: house.url });
    await reader.connect();
    onTestFinished(() => reader.end());
    await reader.query('begin');
    await reader.query('select from tallyback.balance_1');
    const following = followLog(house.pool, moved, (line) => house.lines.push(line), systemTiming);
    await until(() => house.lines.some((line) => line.includes('waiting for the tables')));
    expect(await followedLog(house.pool)).toBe(house.store.id);
    await reader.query('commit');
    await following;
    expect(await followedLog(house.pool)).toBe(moved.id);
  });
});
