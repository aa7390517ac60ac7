/** A database with a log, and what the engine's tests need of both. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { onTestFinished } from 'vitest';
import type { EventStore } from '../../../src/eventstore/port.ts';
import { openPostgresEventStore } from '../../../src/eventstore/postgres/postgres-event-store.ts';
import {
  type Projections,
  type ProjectionsOptions,
  startProjections,
} from '../../../src/projections/engine/engine.ts';
import type { FollowLimits } from '../../../src/projections/engine/follow.ts';
import type { ReadModel } from '../../../src/projections/engine/read-model.ts';
import type { ReadModelReader } from '../../../src/projections/engine/reading.ts';
import { checkpointName, type ProjectionStorage } from '../../../src/projections/engine/storage.ts';
import type { Delays } from '../../../src/projections/engine/timing.ts';
import { readModels } from '../../../src/projections/index.ts';
import { readModelReader } from '../../../src/projections/postgres/reader.ts';
import { makeGeneration, schemaLock } from '../../../src/projections/postgres/schema.ts';
import { postgresStorage } from '../../../src/projections/postgres/storage.ts';
import { inTransaction } from '../../../src/projections/postgres/transaction.ts';
import { openPool } from '../../../src/operations/pool.ts';
import { createTestDatabase } from '../../support/postgres.ts';
import { Historian } from './history.ts';

export interface Started extends Projections {
  readonly reader: ReadModelReader;
}

export interface StartOptions extends Partial<Omit<ProjectionsOptions, 'limits' | 'rebuildLimits'>> {
  readonly limits?: Partial<FollowLimits>;
  readonly rebuildLimits?: Partial<FollowLimits>;
}

export interface House {
  readonly url: string;
  readonly pool: pg.Pool;
  readonly store: EventStore;
  readonly historian: Historian;
  readonly lines: string[];
  storage(options?: {
    readonly store?: EventStore;
    readonly checkpoints?: readonly string[];
  }): ProjectionStorage;
  start(options?: StartOptions): Promise<Started>;
  /** Has the read models folded anew by whoever runs; answers the numbers of the generations. */
  askForRebuild(models?: readonly ReadModel[], dryRun?: boolean): Promise<number[]>;
  /** The same, carried out: an instance of its own builds them and ends. Swaps also what differs, for tests to see. */
  rebuild(models?: readonly ReadModel[]): Promise<void>;
  /** All rows of the tables that serve, with positions, as text. */
  dump(models?: readonly ReadModel[]): Promise<string>;
  /** The table that serves a version. */
  table(model: ReadModel): Promise<string>;
}

/** A name that no other instance has. */
export const newInstance = (): string => `test-${randomUUID()}`;

/** Quick about everything that is only waiting. */
export const quick: Partial<Delays> = { beat: 50, lease: 2_000, idle: 50, longestRetry: 50 };

export async function openHouse(): Promise<House> {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const store = await openPostgresEventStore({ connectionString: database.url });
  onTestFinished(() => store.close());
  const pool = openPool(database.url, 20, () => undefined);
  onTestFinished(() => pool.end());
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  const storage: House['storage'] = (options = {}) => postgresStorage({ pool, store, log, ...options });

  const start = async (options: StartOptions = {}): Promise<Started> => {
    const projections = await startProjections({
      store,
      storage: storage({ store: options.store ?? store }),
      models: readModels,
      instance: newInstance(),
      log,
      ...options,
      delays: { ...quick, ...options.delays },
    });
    onTestFinished(() => projections.stop());
    return { ...projections, reader: readModelReader(pool, projections.catalog) };
  };

  const askForRebuild: House['askForRebuild'] = (models = readModels, dryRun = false) =>
    inTransaction(pool, async (client) => {
      await client.query(`select pg_advisory_xact_lock(${schemaLock})`);
      const numbers: number[] = [];
      for (const model of models)
        numbers.push(await makeGeneration(client, model, { state: 'building', dryRun }));
      return numbers;
    });

  const table: House['table'] = async ({ name, version }) => {
    const { rows } = await pool.query<{ table_name: string }>(
      `select table_name from tallyback.generation where model = $1 and version = $2 and state = 'serving'`,
      [name, version],
    );
    if (!rows[0]) throw new Error(`no generation of ${name} v${version} serves`);
    return rows[0].table_name;
  };

  return {
    url: database.url,
    pool,
    store,
    lines,
    historian: new Historian(store),
    storage,
    start,
    askForRebuild,
    async rebuild(models = readModels) {
      const numbers = await askForRebuild(models);
      await pool.query(`update tallyback.generation set accepted = true where state = 'building'`);
      const builder = await start({ models });
      await until(() => models.every((model, i) => serves(builder, model) === numbers[i]));
      await builder.stop();
    },
    async dump(models = readModels) {
      const parts: string[] = [];
      for (const model of models) {
        const key = model.table.key.map((k) => `"${k}"`).join(', ');
        const { rows } = await pool.query<{ row: string }>(
          `select t::text as row from tallyback.${await table(model)} t order by ${key}`,
        );
        parts.push(model.name, ...rows.map(({ row }) => row));
      }
      return parts.join('\n');
    },
    table,
  };
}

/** Number of the generation an instance reads from; undefined if it has none. */
export const serves = ({ catalog }: Pick<Projections, 'catalog'>, { name }: ReadModel): number | undefined =>
  catalog.findServing(name)?.number;

/** When all projections have handled everything there is. */
export async function caughtUp(
  projections: Projections,
  store: EventStore,
  models: readonly ReadModel[] = readModels,
): Promise<void> {
  const head = await store.head();
  const signal = AbortSignal.timeout(60_000);
  await Promise.all(models.map((model) => projections.progress.reached(checkpointName(model), head, signal)));
}

/** Until it is so. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}
