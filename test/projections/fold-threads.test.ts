/** Folding in worker threads: the same tables, to the byte, as without them. */
import fc from 'fast-check';
import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { storedTypeName } from '../../src/domain/codec.ts';
import { foldThreads } from '../../src/main/fold-threads.ts';
import { foldTasks } from '../../src/projections/engine/fold-thread.ts';
import { openPostgresEventStore } from '../../src/eventstore/postgres/postgres-event-store.ts';
import type { EventStore } from '../../src/eventstore/port.ts';
import { type Projections, startProjections } from '../../src/projections/engine/engine.ts';
import { partitionOf } from '../../src/projections/engine/partition.ts';
import type { ReadModel } from '../../src/projections/engine/read-model.ts';
import { checkpointName, type LineStorage } from '../../src/projections/engine/storage.ts';
import type { FoldThreads } from '../../src/projections/engine/threaded-folder.ts';
import { figures, orders, readModels, statement } from '../../src/projections/index.ts';
import { load } from '../../src/projections/postgres/rows.ts';
import { makeGeneration } from '../../src/projections/postgres/schema.ts';
import { postgresStorage } from '../../src/projections/postgres/storage.ts';
import { chance } from '../support/chance.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { logged } from './support/events.ts';
import { happening, Historian, someHistory } from './support/history.ts';
import { orderKeeping, stoppingModels, threadModels } from './support/thread-models.mjs';

const entry = new URL('./support/fold-worker.mjs', import.meta.url);
const quick = { beat: 50, lease: 2_000, idle: 500, longestRetry: 20, afterFailure: 30, pace: 1, poll: 10 };
const models = [...readModels, ...threadModels];
const flowing = models.filter(({ onFailure }) => onFailure !== 'stop');

/** A log, and read models of it that can be made again and again. */
class Workshop {
  readonly #random: () => number;
  readonly url: string;
  readonly pool: pg.Pool;
  readonly store: EventStore;
  readonly lines: string[] = [];

  private constructor(url: string, pool: pg.Pool, store: EventStore, seed: number) {
    this.url = url;
    this.pool = pool;
    this.store = store;
    this.#random = chance(seed);
  }

  static async open(events: number, seed: number): Promise<Workshop> {
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    const store = await openPostgresEventStore({ connectionString: database.url });
    onTestFinished(() => store.close());
    const pool = new pg.Pool({ connectionString: database.url, max: 20 });
    pool.on('error', () => undefined);
    onTestFinished(() => pool.end());
    await new Historian(store).append(someHistory(events, seed));
    return new Workshop(database.url, pool, store, seed);
  }

  /** Worker threads. */
  threads(count: number): FoldThreads {
    return foldThreads(count, this.url, entry);
  }

  /** What such a thread does, done in this one: starts in no time. What passes is copied all the same. */
  quickThreads(count: number): FoldThreads {
    return {
      count,
      open: (start) => {
        const model = models.find(({ name }) => name === start.generation.model);
        if (!model) throw new Error('no such model');
        const storage: Pick<LineStorage, 'load'> = { load: (...what) => load(this.pool, ...what) };
        const fold = foldTasks(model, storage, structuredClone(start));
        const ended = new AbortController();
        return {
          fold: async (task) => {
            const copy = structuredClone(task);
            for (let turns = this.#random() * 4; turns > 0; turns--) await new Promise(setImmediate);
            const answer = structuredClone(await fold(copy));
            ended.signal.throwIfAborted();
            return answer;
          },
          close: async () => ended.abort(),
        };
      },
    };
  }

  /** Batches of any size, and caches that are too small. */
  async start(foldThreads: FoldThreads | undefined, some: readonly ReadModel[]): Promise<Projections> {
    const limits = (): { maxEvents: number; cachedRows: number; pendingRows: number } => ({
      maxEvents: 1 + Math.floor(this.#random() * 60),
      cachedRows: 2 + Math.floor(this.#random() * 20),
      pendingRows: 1 + Math.floor(this.#random() * 20),
    });
    const projections = await startProjections({
      store: this.store,
      storage: postgresStorage({ pool: this.pool, store: this.store, log: () => undefined }),
      models: some,
      instance: `test ${this.#random()}`,
      log: (line) => void this.lines.push(line),
      limits: limits(),
      rebuildLimits: limits(),
      foldThreads,
      delays: quick,
    });
    onTestFinished(() => projections.stop());
    return projections;
  }

  /** Folds the log anew and answers what came of it. */
  async fold(foldThreads: FoldThreads | undefined, some: readonly ReadModel[] = flowing): Promise<string> {
    await this.pool.query('drop schema if exists tallyback cascade');
    const projections = await this.start(foldThreads, some);
    await this.reached(projections, some);
    await projections.stop();
    return this.dump(some, 1);
  }

  async reached({ progress }: Projections, some: readonly ReadModel[]): Promise<void> {
    const head = await this.store.head();
    const reached = (model: ReadModel): Promise<unknown> =>
      progress.reached(checkpointName(model), head, AbortSignal.timeout(60_000));
    await Promise.all(some.map(reached));
  }

  /** Position of the first event that the partition, of two, of a read model has a part in. */
  async firstOf(name: string, partition: number): Promise<bigint> {
    const model = models.find((one) => one.name === name);
    const { rows } = await this.pool.query<{ position: string; stream: string; type: string }>(
      'select position::text, stream, type from tallyback_log.events order by events.position',
    );
    const first = rows.find(({ stream, type }) => {
      const handled = model?.handles.some((one) => type === storedTypeName(one));
      return handled && (model?.partitionBy === 'key' || partitionOf(stream, 2) === partition);
    });
    return BigInt(first?.position ?? -1);
  }

  /** Rows with their positions, checkpoints, and what is parked. */
  async dump(some: readonly ReadModel[], number: number): Promise<string> {
    const parts: string[] = [];
    for (const { name, table } of some) {
      const key = table.key.map((column) => `"${column}"`).join(', ');
      const { rows } = await this.pool.query<{ line: string }>(
        `select t::text as line from tallyback.${name}_${number} t order by ${key}`,
      );
      const parked = await this.pool.query<{ line: string }>(
        `select (scope, position, stream, revision, type, error)::text as line from tallyback.parked_event
         where model = $1 and number = $2 order by scope, commit`,
        [name, number],
      );
      const checkpoint = await this.position(name, number);
      parts.push(`${name} ${checkpoint}`, ...[...rows, ...parked.rows].map(({ line }) => line));
    }
    return parts.join('\n');
  }

  async position(model: string, number = 1): Promise<string> {
    const { rows } = await this.pool.query<{ position: string }>(
      'select position from tallyback.checkpoint where name = $1',
      [`projection:${model}/${number}`],
    );
    return rows[0]?.position ?? 'none';
  }
}

/** Ends one of the threads while it folds, every now and then, until so many have ended. */
function withDeaths(threads: FoldThreads, deaths: number, random: () => number): FoldThreads {
  let left = deaths;
  return {
    ...threads,
    open(start) {
      const thread = threads.open(start);
      return {
        close: () => thread.close(),
        async fold(task) {
          const answer = thread.fold(task);
          if (left > 0 && random() < 0.2) {
            left--;
            void thread.close();
          }
          return answer;
        },
      };
    },
  };
}

describe('partitions', () => {
  test('make the same tables and park the same events', async () => {
    const workshop = await Workshop.open(400, 5);
    const alone = await workshop.fold(undefined);
    expect(alone).toMatch(/row:.*no row/);
    expect(alone).toMatch(/stream:.*no key/);
    for (const count of [1, 2, 3]) expect(await workshop.fold(workshop.quickThreads(count))).toBe(alone);
  }, 120_000);

  test('make the same tables in worker threads that end in the middle', async () => {
    const workshop = await Workshop.open(300, 6);
    const some = [...orderKeeping, orders, figures, statement];
    const alone = await workshop.fold(undefined, some);
    for (const count of [1, 2, 3]) {
      const dying = withDeaths(workshop.threads(count), 3, chance(count));
      expect(await workshop.fold(dying, some)).toBe(alone);
    }
  }, 120_000);

  test('make the same tables when generations are built beside those that serve', async () => {
    const workshop = await Workshop.open(400, 9);
    const alone = await workshop.fold(undefined);
    for (const count of [1, 2, 3]) {
      const client = await workshop.pool.connect();
      for (const model of flowing) await makeGeneration(client, model, { state: 'building' });
      client.release();
      const dying = withDeaths(workshop.quickThreads(count), 30, chance(count));
      const projections = await workshop.start(dying, flowing);
      const serving = (): (number | undefined)[] =>
        flowing.map(({ name }) => projections.catalog.findServing(name)?.number);
      await expect.poll(serving, { timeout: 60_000 }).toEqual(flowing.map(() => 1 + count));
      await projections.stop();
      expect(await workshop.dump(flowing, 1 + count)).toBe(alone);
      // Nothing was refused by the table, as a row would be that is copied to where it is already.
      expect(workshop.lines.filter((line) => line.includes('has stopped'))).toEqual([]);
    }
  }, 120_000);

  test('stand still before the same event', async () => {
    const workshop = await Workshop.open(200, 7);
    const stopped: string[] = [];
    for (const threads of [undefined, workshop.quickThreads(2), workshop.quickThreads(3)]) {
      await workshop.pool.query('drop schema if exists tallyback cascade');
      const projections = await workshop.start(threads, stoppingModels);
      const states = (): string[] => projections.status().map(({ state }) => state);
      await expect.poll(states, { timeout: 30_000 }).toEqual(['failed', 'failed']);
      stopped.push(
        JSON.stringify(projections.status().map(({ error, failedAt }) => [error, String(failedAt?.commit)])),
      );
      await projections.stop();
      stopped.push(await workshop.dump(stoppingModels, 1));
    }
    expect(stopped[0]).toContain('no further');
    expect(stopped.slice(2, 4)).toEqual(stopped.slice(0, 2));
    expect(stopped.slice(4, 6)).toEqual(stopped.slice(0, 2));
  }, 60_000);
});

test('a batch that not all threads have folded is seen by nobody', async () => {
  const workshop = await Workshop.open(120, 8);
  const whole = workshop.threads(2);
  let answered = 0;
  // One partition is folded; the thread of the other one always ends first.
  const half: FoldThreads = {
    ...whole,
    open(start) {
      const thread = whole.open(start);
      if (start.partition === 0)
        return { ...thread, fold: (task) => thread.fold(task).finally(() => answered++) };
      return {
        ...thread,
        fold(task) {
          const answer = thread.fold(task);
          void thread.close();
          return answer;
        },
      };
    },
  };
  const projections = await workshop.start(half, orderKeeping);
  await expect.poll(() => answered, { timeout: 30_000 }).toBeGreaterThan(6);
  await projections.stop();
  for (const { name } of orderKeeping) {
    const ahead = await workshop.pool.query(
      `select from tallyback.${name}_1 where position > (
         select split_part(position, '/', 1)::bigint from tallyback.checkpoint where name = $1)`,
      [`projection:${name}/1`],
    );
    expect(ahead.rowCount).toBe(0);
    const handled = await workshop.firstOf(name, 1);
    expect(BigInt((await workshop.position(name)).split('/')[0] ?? '')).toBeLessThan(handled);
  }
  // With threads that live it goes on from there.
  const lasting = await workshop.start(whole, orderKeeping);
  await workshop.reached(lasting, orderKeeping);
  await lasting.stop();
  const halved = await workshop.dump(orderKeeping, 1);
  expect(halved).toBe(await workshop.fold(undefined, orderKeeping));
}, 60_000);

test('where streams are dealt out, every row is of one stream', () => {
  fc.assert(
    fc.property(fc.array(happening, { minLength: 50, maxLength: 50, size: 'max' }), (happenings) => {
      const streams = new Map<string, string>();
      const places = logged(happenings.map(({ event }) => event));
      for (const model of readModels.filter(({ partitionBy }) => partitionBy === 'stream')) {
        for (const [i, place] of places.entries()) {
          const stream = happenings[i]?.stream ?? '';
          if (!model.handles.includes(place.event.type)) continue;
          for (const key of model.keys({ ...place, stream })) {
            const row = JSON.stringify([model.name, ...key.map(String)]);
            expect(streams.get(row) ?? stream).toBe(stream);
            streams.set(row, stream);
          }
        }
      }
    }),
    { numRuns: 30 },
  );
});

test('a partition is a number below their count, and all of them are used', () => {
  for (const count of [1, 2, 3, 8]) {
    const used = new Set(Array.from({ length: 200 }, (_, i) => partitionOf(`account-M${i}~GBP`, count)));
    expect(used).toEqual(new Set(Array.from({ length: count }, (_, i) => i)));
  }
});
