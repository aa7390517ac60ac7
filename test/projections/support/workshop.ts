/** A log, and its read models folded by real worker threads, or by what they do in this one. */
import type pg from 'pg';
import { onTestFinished } from 'vitest';
import { storedTypeName } from '../../../src/domain/codec.ts';
import type { EventStore } from '../../../src/eventstore/port.ts';
import { openPostgresEventStore } from '../../../src/eventstore/postgres/postgres-event-store.ts';
import { foldThreads } from '../../../src/main/fold-threads.ts';
import { type Projections, startProjections } from '../../../src/projections/engine/engine.ts';
import type { FollowLimits } from '../../../src/projections/engine/follow.ts';
import { foldTasks } from '../../../src/projections/engine/fold-thread.ts';
import { partitionOf } from '../../../src/projections/engine/partition.ts';
import type { ReadModel } from '../../../src/projections/engine/read-model.ts';
import { checkpointName, type LineStorage } from '../../../src/projections/engine/storage.ts';
import type { FoldThread, FoldThreads } from '../../../src/projections/engine/threaded-folder.ts';
import { readModels } from '../../../src/projections/index.ts';
import { load } from '../../../src/projections/postgres/rows.ts';
import { postgresStorage } from '../../../src/projections/postgres/storage.ts';
import { openPool } from '../../../src/operations/pool.ts';
import { chance } from '../../support/chance.ts';
import { createTestDatabase } from '../../support/postgres.ts';
import { Historian, someHistory } from './history.ts';
import { stoppingModels, threadModels } from './thread-models.mjs';

const entry = new URL('./fold-worker.mjs', import.meta.url);
const quick = { beat: 50, lease: 2_000, idle: 500, longestRetry: 20, afterFailure: 30, pace: 1, poll: 10 };
const models = [...readModels, ...threadModels];
/** Those that get to the end. */
export const flowing = models.filter((model) => !stoppingModels.includes(model));

/** A log, and read models of it that can be made again and again. */
export class Workshop {
  readonly #random: () => number;
  readonly #running = new Set<FoldThread>();
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
    const pool = openPool(database.url, 20, () => undefined);
    onTestFinished(() => pool.end());
    await new Historian(store).append(someHistory(events, seed));
    return new Workshop(database.url, pool, store, seed);
  }

  /** Worker threads. */
  threads(count: number, module = entry): FoldThreads {
    const threads = foldThreads(count, this.url, module);
    return {
      count,
      open: (start) => {
        const thread = threads.open(start);
        this.#running.add(thread);
        return {
          fold: (task) => thread.fold(task),
          close: async () => {
            await thread.close();
            this.#running.delete(thread);
          },
        };
      },
    };
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
    const limits = (): FollowLimits => ({
      maxEvents: 1 + Math.floor(this.#random() * 60),
      cachedRows: 2 + Math.floor(this.#random() * 20),
      pendingRows: 1 + Math.floor(this.#random() * 20),
      gatheredRows: 1 + Math.floor(this.#random() * 10),
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
    if (this.#running.size > 0) throw new Error('threads are left behind');
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
