import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { logStart, type Position } from '../../src/eventstore/port.ts';
import { Catalog } from '../../src/projections/engine/catalog.ts';
import { systemTiming } from '../../src/projections/engine/edges.ts';
import { LeasedCheckpoint } from '../../src/projections/engine/leased-checkpoint.ts';
import { ProgressHub } from '../../src/projections/engine/progress.ts';
import type { ProjectionStorage } from '../../src/projections/engine/storage.ts';
import { balance } from '../../src/projections/index.ts';
import { event } from './support/events.ts';
import { caughtUp, type House, openHouse, serves, until } from './support/house.ts';
import { someHistory } from './support/history.ts';

const name = 'projection:balance';
const at = (n: number): Position => ({ commit: BigInt(n), prepare: BigInt(n) });

/** What another process sees that leads nothing. */
async function watcher(house: House, poll = 10): Promise<ProgressHub> {
  const storage = house.storage();
  const catalog = new Catalog([balance], storage);
  await catalog.refresh();
  const log = (line: string): void => void house.lines.push(line);
  return new ProgressHub({
    storage,
    signals: storage.signals,
    instance: 'watcher',
    catalog,
    timing: systemTiming,
    poll,
    log,
  });
}

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
    const house = await openHouse();
    const { store, historian, start } = house;
    await start({ models: [balance], delays: { lazyCheckpoint: 30 } });
    await historian.append([{ stream: 'item-shop~mug', event: event('StockReserved') }]);
    const head = await store.head();
    const elsewhere = await watcher(house);
    await until(async () => (await elsewhere.through(name)).commit === head.commit);
    expect(await elsewhere.list()).toEqual([{ name, position: head }]);
    elsewhere.close();
  });

  test('waiting ends when the signal says so, and when the projections stop', async () => {
    const { start } = await openHouse();
    const projections = await start({ models: [balance] });
    const gone = new AbortController();
    const waiting = projections.progress.reached(name, at(1_000), gone.signal);
    gone.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    const still = projections.progress.reached(name, at(1_000), new AbortController().signal);
    const [outcome] = await Promise.allSettled([still, projections.stop()]);
    expect(outcome).toMatchObject({
      status: 'rejected',
      reason: { message: 'projections have been stopped' },
    });
  });

  test('what was reached before another process had everything start over is not reached any more', async () => {
    const { pool, store, historian, start } = await openHouse();
    // Its writer has nothing to do, and so does not hear that it has been replaced.
    const projections = await start({ models: [balance], delays: { idle: 3_600_000 } });
    await historian.append(someHistory(20, 11));
    await caughtUp(projections, store, [balance]);
    await pool.query(`truncate tallyback.balance_1`);
    await pool.query(`update tallyback.checkpoint set position = '-1/-1', epoch = epoch + 1`);

    expect(await projections.progress.through(name)).toEqual(logStart);
    const waiting = projections.progress.reached(name, await store.head(), AbortSignal.timeout(200));
    await expect(waiting).rejects.toThrow(/timeout/);
  });

  test('listeners hear of advances, here and in other processes, until they stop listening', async () => {
    const house = await openHouse();
    const { historian, start } = house;
    const projections = await start({ models: [balance] });
    const elsewhere = await watcher(house);
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
    await projections.progress.reached(name, at(40), AbortSignal.timeout(10_000));
    expect(here).toBe(heard);
    elsewhere.close();
  });

  test('listeners hear that another table serves, also where nothing else happens and another process did it', async () => {
    const house = await openHouse();
    await house.historian.append(someHistory(20, 7));
    const builder = await house.start({ models: [balance] });
    const reader = await house.start({ models: [balance], projects: false });
    await caughtUp(builder, house.store, [balance]);
    let heard = 0;
    reader.progress.onAdvance(name, () => heard++);
    await house.askForRebuild([balance]);
    await until(() => serves(builder, balance) === 2 && serves(reader, balance) === 2);
    heard = 0;
    await house.askForRebuild([balance]);
    await until(() => serves(reader, balance) === 3);
    await until(() => heard > 0);
  });

  describe('between instances whose hints go astray', () => {
    const astray: Readonly<Record<string, (storage: ProjectionStorage) => ProjectionStorage>> = {
      'are never said': (storage) => ({
        ...storage,
        signals: { ...storage.signals, tell: () => Promise.reject(new Error('the pool is exhausted')) },
      }),
      'hang on their way': (storage) => ({
        ...storage,
        signals: { ...storage.signals, tell: () => new Promise(() => undefined) },
      }),
      'are never heard': (storage) => ({
        ...storage,
        signals: { ...storage.signals, listen: () => undefined },
      }),
      'come late, in another order, and twice': (storage) => ({
        ...storage,
        signals: {
          ...storage.signals,
          listen: (heard, signal) => {
            let n = 0;
            storage.signals.listen((message) => {
              const late = (7 * n++) % 20;
              for (const ms of [10 * late, 300]) setTimeout(() => !signal.aborted && heard(message), ms);
            }, signal);
          },
        },
      }),
    };

    test.each(Object.entries(astray))(
      'who waits is served, and not before it is there: they %s',
      async (_, put) => {
        const house = await openHouse();
        const delays = { lazyCheckpoint: 200, poll: 20 };
        const start = (projects: boolean) =>
          house.start({ models: [balance], projects, delays, storage: put(house.storage()) });
        await start(true);
        const readers = [await start(false), await start(false)];
        const patience = AbortSignal.timeout(25_000);
        let heard = 0;
        for (const { progress } of readers) progress.onAdvance(name, () => heard++);
        for (const [n, happening] of someHistory(12, 9).entries()) {
          await house.historian.append([happening]);
          const head = await house.store.head();
          heard = 0;
          await Promise.all(
            readers.map(async ({ progress }, which) => {
              // One waits for what there is, the other for what is to come as well.
              const position = at(Number(head.commit) + (which && n < 11 ? 1 : 0));
              if (which) void wait(progress, position);
              await wait(progress, head);
            }),
          );
        }
        async function wait(progress: ProgressHub, position: Position): Promise<void> {
          await progress.reached(name, position, patience);
          // Others cannot say that of what this process did not write, so it is what is stored.
          expect((await progress.through(name)).commit).toBeGreaterThanOrEqual(position.commit);
        }
        await until(() => heard > 0);
      },
    );
  });

  describe('between instances, with nobody looking by itself', () => {
    const never = { poll: 3_600_000, lazyCheckpoint: 3_600_000, idle: 3_600_000 };

    test('who writes hears of one who waits elsewhere, and the one who waits that it is there', async () => {
      const house = await openHouse();
      await house.start({ models: [balance], delays: never });
      const reader = await house.start({ models: [balance], projects: false, delays: never });
      // The first is heard once both listen; nothing would save what concerns nobody.
      for (let n = 0; n < 5; n++) {
        await house.historian.append([{ stream: `item-shop~mug${n}`, event: event('StockReserved') }]);
        const head = await house.store.head();
        await until(async () => {
          const waiting = reader.progress.reached(name, head, AbortSignal.timeout(500));
          return waiting.then(
            () => true,
            () => false,
          );
        });
        expect((await reader.progress.through(name)).commit).toBe(head.commit);
      }
    });

    test('one who waits elsewhere for what is there already is told so, also while others look now and then', async () => {
      const house = await openHouse();
      const writer = await house.start({ models: [balance], delays: never });
      const reader = await house.start({ models: [balance], projects: false, delays: never });
      await house.historian.append(someHistory(20, 7));
      await caughtUp(writer, house.store, [balance]);
      const head = await house.store.head();
      // It has looked once, and is now to look again in an hour.
      onTestFinished(reader.progress.onAdvance(name, () => undefined));
      await until(() =>
        reader.progress.reached(name, head, AbortSignal.timeout(500)).then(
          () => true,
          () => false,
        ),
      );
      await reader.progress.reached(name, head, AbortSignal.timeout(10_000));
    });

    test('who listens elsewhere hears of every advance', async () => {
      const house = await openHouse();
      const writer = await house.start({ models: [balance], delays: never });
      const reader = await house.start({
        models: [balance],
        projects: false,
        delays: { ...never, poll: 200 },
      });
      let heard = 0;
      onTestFinished(reader.progress.onAdvance(name, () => heard++));
      await until(() => writer.progress.isFollowed(name));
      for (let n = 0; n < 10; n++) {
        heard = 0;
        await house.historian.append([{ stream: `item-shop~mug${n}`, event: event('StockReserved') }]);
        await until(() => heard > 0);
      }
    });

    test('a policy that has nothing to do saves where it is for one who waits elsewhere', async () => {
      const house = await openHouse();
      const storage = house.storage({ checkpoints: ['policy:test'] });
      const moves = vi.spyOn(storage, 'move');
      let checkpoint: LeasedCheckpoint | undefined;
      await house.start({
        models: [],
        storage,
        delays: never,
        duties: (progress) => [
          {
            name: 'policy:test',
            async lead(held, signal) {
              checkpoint = new LeasedCheckpoint(held, storage, progress, systemTiming);
              await checkpoint.rest(3_600_000, signal);
              await checkpoint.advance(at(7));
              await checkpoint.rest(3_600_000, signal);
              checkpoint.close();
            },
          },
        ],
      });
      await until(() => checkpoint !== undefined);
      const reader = await house.start({ models: [], projects: false, delays: never });
      expect(moves).not.toHaveBeenCalled();
      await until(() =>
        reader.progress.reached('policy:test', at(7), AbortSignal.timeout(500)).then(
          () => true,
          () => false,
        ),
      );
      expect(moves).toHaveBeenCalledOnce();
    });
  });

  describe('who leads', () => {
    /** A hub beside no others, and what is stored. */
    const alone = (): { hub: ProgressHub; stored: Map<string, Position> } => {
      const stored = new Map<string, Position>();
      const hub = new ProgressHub({
        storage: { positions: async () => stored },
        signals: { tell: () => new Promise(() => undefined), listen: () => undefined },
        instance: 'alone',
        catalog: { checkpointOf: () => undefined, nameOf: (one) => one, onUpdate: () => () => undefined },
        timing: systemTiming,
        poll: 5,
        log: () => undefined,
      });
      onTestFinished(() => hub.close());
      return { hub, stored };
    };

    test('what one who leads it no more has written last is not taken for where it is for ever', async () => {
      const { hub, stored } = alone();
      const unlead = hub.lead(name, () => undefined);
      hub.publish(name, at(5));
      unlead();
      // The write that was under way.
      hub.publish(name, at(7));
      stored.set(name, at(2));
      const waiting = hub.reached(name, at(6), AbortSignal.timeout(100));
      await expect(waiting).rejects.toThrow(/timeout/);
    });

    test('a policy does not rest while somebody waits for what it has not come to yet', async () => {
      const { hub } = alone();
      const held = { name: 'policy:test', position: at(1), epoch: 1n };
      const storage = { move: async () => true, seek: async () => held };
      const checkpoint = new LeasedCheckpoint(held, storage, hub, systemTiming);
      const waiting = hub.reached('policy:test', at(9), new AbortController().signal);
      const never = new AbortController().signal;
      for (const position of [3, 6, 9]) {
        await checkpoint.rest(3_600_000, never);
        await checkpoint.advance(at(position));
      }
      await waiting;
      const gone = new AbortController();
      // The bell that was rung when somebody began to wait ends one rest more.
      await checkpoint.rest(3_600_000, gone.signal);
      let isResting = true;
      const resting = checkpoint.rest(3_600_000, gone.signal).then(() => (isResting = false));
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(isResting).toBe(true);
      gone.abort();
      await resting;
      checkpoint.close();
    });
  });

  test('a policy keeps its checkpoint the same way: who claims it last may move it', async () => {
    const { start, storage } = await openHouse();
    const policies = storage({ checkpoints: ['policy:test'] });
    const { progress } = await start({ models: [], storage: policies });
    const claim = async (instance: string): Promise<LeasedCheckpoint> => {
      await policies.beat({ instance, able: [], ttl: 60_000 });
      const held = await policies.claim('policy:test', instance);
      if (!held) throw new Error(`${instance} cannot have it`);
      return new LeasedCheckpoint(held, policies, progress, systemTiming);
    };
    const old = await claim('old');
    expect(old.position).toEqual(logStart);
    expect(await old.advance(at(5))).toBe(true);
    await progress.reached('policy:test', at(5), AbortSignal.timeout(5_000));
    await expect(claim('next')).rejects.toThrow('cannot have it');

    const waiting = progress.reached('policy:test', at(9), AbortSignal.timeout(20_000));
    await policies.leave('old');
    const next = await claim('next');
    expect(next.position).toEqual(at(5));
    expect(await old.advance(at(7))).toBe(false);
    expect(await old.reload()).toBe(false);
    expect(await next.advance(at(9))).toBe(true);
    await waiting;
    expect(await progress.through('policy:test')).toEqual(at(9));
    // What was saved without its having heard so is found again.
    const twice = await claim('next');
    expect(await next.advance(at(10))).toBe(false);
    expect(await twice.reload()).toBe(true);
    expect(twice.position).toEqual(at(9));
  });
});
