import { describe, expect, test } from 'vitest';
import pg from 'pg';
import { logStart, type Position } from '../../src/eventstore/port.ts';
import {
  claimCheckpoint,
  openCheckpoint,
  reportCheckpoints,
} from '../../src/projections/engine/checkpoint.ts';
import { systemTiming } from '../../src/projections/engine/edges.ts';
import { Fenced } from '../../src/projections/engine/errors.ts';
import { Line } from '../../src/projections/engine/line.ts';
import { ProgressHub } from '../../src/projections/engine/progress.ts';
import { defineReadModel, type ReadModel } from '../../src/projections/engine/read-model.ts';
import { replayReadModel, resetReadModel } from '../../src/projections/engine/replay.ts';
import { balance, readModels, stock } from '../../src/projections/index.ts';
import { event } from './support/events.ts';
import { caughtUp, openHouse, until } from './support/house.ts';
import { someHistory } from './support/history.ts';

const name = 'projection:balance';

/** Counts events per stream: counting one twice, or leaving one out, shows. */
const tally = defineReadModel({
  name: 'tally',
  version: 1,
  table: { columns: { stream: 'text', events: 'bigint', revision: 'bigint' }, key: ['stream'] },
  handles: ['RebateAccrued', 'RebateReversed', 'ReturnTaken', 'OrderTracked', 'StockSold'],
  keys: ({ stream }) => [[stream]],
  fold: (row, { stream, revision }) => ({
    stream,
    events: (row?.events ?? 0n) + 1n,
    revision: BigInt(revision),
  }),
});

describe('exactly once', () => {
  test('connections are killed at any time', async () => {
    const { pool, store, historian, start, dump, url } = await openHouse();
    const models = [tally, ...readModels];
    const projections = await start({ models, maxEvents: 5, cachedRows: 10 });
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
    for (const model of models) await replayReadModel({ store, pool, model });
    expect(await dump(models)).toBe(before);
  });

  test('of two that run at the same time one writes, and no event counts twice', async () => {
    const { store, historian, start, dump, pool } = await openHouse();
    const models = [tally, balance];
    const history = someHistory(450, 3);
    await historian.append(history.slice(0, 150));
    const first = await start({ models, maxEvents: 3 });
    await until(() => first.status().every(({ events }) => events > 0));
    const second = await start({ models, maxEvents: 3 });
    await historian.append(history.slice(150, 300));
    await caughtUp(second, store, models);
    await until(() => first.status().every(({ state, fenced }) => state === 'standby' && fenced === 1));
    // The one that stands by still sees how far the other is.
    await caughtUp(first, store, models);

    await second.stop();
    await historian.append(history.slice(300));
    await caughtUp(first, store, models);
    await until(() => first.status().every(({ state }) => state === 'live'));
    await first.stop();
    const before = await dump(models);
    for (const model of models) await replayReadModel({ store, pool, model });
    expect(await dump(models)).toBe(before);
  });

  test('a writer that was paused while another took over is refused before it writes anything', async () => {
    const { pool, store, historian, start, dump } = await openHouse();
    await (await start({ models: [tally] })).stop();
    await historian.append(someHistory(50, 4));
    const held = await claimCheckpoint(pool, 'projection:tally', 1, store.id);
    const zombie = new Line({
      pool,
      model: tally,
      held,
      cachedRows: 10,
      clock: () => 0,
      settled: () => undefined,
    });

    const projections = await start({ models: [tally] });
    await caughtUp(projections, store, [tally]);
    const before = await dump([tally]);
    const batches = [];
    const end = new AbortController();
    for await (const batch of store.subscribe({ after: logStart, signal: end.signal })) {
      batches.push(batch);
      if (batch.caughtUp) break;
    }
    await zombie.feed(batches);
    await expect(zombie.save()).rejects.toThrow(Fenced);
    expect(await dump([tally])).toBe(before);
  });

  test('a writer that dies without a word is replaced', async () => {
    const { pool, store, historian, start } = await openHouse();
    const projections = await start({ models: [tally] });
    await caughtUp(projections, store, [tally]);
    // Claimed, and then nothing more is heard.
    await claimCheckpoint(pool, 'projection:tally', 1, store.id);
    await historian.append(someHistory(20, 5));
    await caughtUp(projections, store, [tally]);
    expect(projections.status()).toMatchObject([{ name: 'tally', fenced: 1 }]);
  });
});

describe('a fold that throws', () => {
  const sound: ReadModel = tally;
  const brittle: ReadModel = {
    ...tally,
    name: 'brittle',
    fold: (row, logged, key) => {
      if (logged.event.type === 'ReturnTaken') throw new Error('no returns, please');
      return sound.fold(row, logged, key);
    },
  };

  test('stops its read model before the event, and no other', async () => {
    const { pool, store, historian, start, dump, lines } = await openHouse();
    const projections = await start({ models: [brittle, stock] });
    const history = someHistory(200, 6);
    const at = history.findIndex((one) => one.event.type === 'ReturnTaken');
    await historian.append(history);
    await until(() => projections.status()[0]?.state === 'failed');
    await caughtUp(projections, store, [stock]);

    const failedAt = { commit: BigInt(at + 1), prepare: BigInt(at + 1) };
    const last = { commit: BigInt(at), prepare: BigInt(at) };
    expect(projections.status()).toMatchObject([
      { name: 'brittle', state: 'failed', failedAt, position: last },
      { name: 'stock', state: 'live' },
    ]);
    expect(projections.status()[0]?.error).toContain('no returns, please');
    expect(lines.join('\n')).toContain('brittle has stopped');
    // Seen from outside, too.
    const report = async (): Promise<unknown> => (await reportCheckpoints(pool))[0];
    const error = projections.status()[0]?.error;
    await expect
      .poll(report)
      .toMatchObject({ name: 'projection:brittle', position: last, failure: { error, at: failedAt } });

    // Mended, it goes on where it stood.
    await projections.stop();
    const mended: ReadModel = { ...sound, name: 'brittle' };
    const again = await start({ models: [mended, tally] });
    await caughtUp(again, store, [mended, tally]);
    expect((await dump([mended])).replace('brittle', 'tally')).toBe(await dump([tally]));
    expect(await report()).toMatchObject({ name: 'projection:brittle', failure: undefined });
  });
});

describe('progress', () => {
  test('events that concern nobody move the checkpoint, promptly if somebody waits', async () => {
    const { store, historian, start } = await openHouse();
    const projections = await start({ models: [balance], delays: { lazyCheckpoint: 3_600_000 } });
    await historian.append([
      { stream: 'item-shop~mug', event: event('StockReserved') },
      { stream: 'account-x', event: event('CommandRefused') },
    ]);
    await caughtUp(projections, store, [balance]);
    expect(await projections.progress.through(name)).toEqual(await store.head());
    expect(await projections.progress.list()).toEqual([{ name, position: await store.head() }]);
  });

  test('and lazily if nobody does', async () => {
    const { pool, store, historian, start } = await openHouse();
    await start({ models: [balance], delays: { lazyCheckpoint: 30 } });
    await historian.append([{ stream: 'item-shop~mug', event: event('StockReserved') }]);
    const head = await store.head();
    const watcher = new ProgressHub(pool);
    await until(async () => (await watcher.through(name)).commit === head.commit);
    expect(await watcher.list()).toEqual([{ name, position: head }]);
  });

  test('waiting ends when the signal says so, and when the projections stop', async () => {
    const { start } = await openHouse();
    const projections = await start({ models: [balance] });
    const never: Position = { commit: 1_000n, prepare: 1_000n };
    const gone = new AbortController();
    const waiting = projections.progress.reached(name, never, gone.signal);
    gone.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    const still = projections.progress.reached(name, never, new AbortController().signal);
    const [outcome] = await Promise.allSettled([still, projections.stop()]);
    expect(outcome).toMatchObject({
      status: 'rejected',
      reason: { message: 'projections have been stopped' },
    });
  });

  test('what was reached before a replay by another process is not reached any more', async () => {
    const { pool, store, historian, start } = await openHouse();
    // Its writer has nothing to do, and so does not hear that it has been replaced.
    const projections = await start({ models: [balance], delays: { keepAlive: 3_600_000 } });
    await historian.append(someHistory(20, 11));
    await caughtUp(projections, store, [balance]);
    await resetReadModel(pool, balance, store.id, new AbortController().signal, systemTiming);

    expect(await projections.progress.through(name)).toEqual(logStart);
    const waiting = projections.progress.reached(name, await store.head(), AbortSignal.timeout(200));
    await expect(waiting).rejects.toThrow(/timeout/);
  });

  test('listeners hear of advances, here and in other processes, until they stop listening', async () => {
    const { pool, historian, start } = await openHouse();
    const projections = await start({ models: [balance] });
    const elsewhere = new ProgressHub(pool);
    let here = 0;
    let there = 0;
    const stopHere = projections.progress.onAdvance(name, () => here++);
    const stopThere = elsewhere.onAdvance(name, () => there++);
    await historian.append(someHistory(20, 7));
    await until(() => here > 0 && there > 0);
    stopHere();
    stopThere();
    const heard = here;
    await historian.append(someHistory(20, 8).map((one) => ({ ...one, stream: `${one.stream}-more` })));
    await projections.progress.reached(name, { commit: 40n, prepare: 40n }, AbortSignal.timeout(10_000));
    expect(here).toBe(heard);
    elsewhere.close();
  });

  test('a policy keeps its checkpoint the same way: who opens it last may move it', async () => {
    const { pool, store, start } = await openHouse();
    const { progress } = await start({ models: [] });
    const at = (n: bigint): Position => ({ commit: n, prepare: n });
    const old = await openCheckpoint(pool, 'policy:test', store.id, progress);
    expect(old.position).toEqual(logStart);
    expect(await old.advance(at(5n))).toBe(true);
    await progress.reached('policy:test', at(5n), AbortSignal.timeout(5_000));

    const waiting = progress.reached('policy:test', at(9n), AbortSignal.timeout(5_000));
    const next = await openCheckpoint(pool, 'policy:test', store.id, progress);
    expect(next.position).toEqual(at(5n));
    expect(await old.advance(at(7n))).toBe(false);
    expect(await next.advance(at(9n))).toBe(true);
    await waiting;
    expect(await progress.through('policy:test')).toEqual(at(9n));
  });
});

test('a read model of another version is rebuilt from the start', async () => {
  const { store, historian, start, dump } = await openHouse();
  await historian.append(someHistory(60, 9));
  const old = await start({ models: [tally] });
  await caughtUp(old, store, [tally]);
  const before = await dump([tally]);
  await old.stop();

  const doubled: ReadModel = { ...balance, name: 'tally', version: 2 };
  const next = await start({ models: [doubled] });
  await caughtUp(next, store, [doubled]);
  expect(await dump([doubled])).toContain('GBP');
  await next.stop();

  const back = await start({ models: [{ ...tally, version: 3 }] });
  await caughtUp(back, store, [tally]);
  expect(await dump([tally])).toBe(before);
});

test('a replay takes the read model from a running projector, which then goes on', async () => {
  const { pool, store, historian, start, dump } = await openHouse();
  const history = someHistory(300, 10);
  await historian.append(history.slice(0, 150));
  const projections = await start({ models: [tally, balance], maxEvents: 10 });
  const appending = historian.append(history.slice(150));
  await replayReadModel({ store, pool, model: tally });
  await appending;
  await caughtUp(projections, store, [tally, balance]);
  expect(projections.status()).toMatchObject([
    { name: 'tally', fenced: 1 },
    { name: 'balance', fenced: 0 },
  ]);
  await projections.stop();
  const before = await dump([tally]);
  await replayReadModel({ store, pool, model: tally });
  expect(await dump([tally])).toBe(before);
});
