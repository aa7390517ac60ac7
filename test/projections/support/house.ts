/** A database with a log, and what the engine's tests need of both. */
import pg from 'pg';
import { onTestFinished } from 'vitest';
import type { EventStore } from '../../../src/eventstore/port.ts';
import { openPostgresEventStore } from '../../../src/eventstore/postgres/postgres-event-store.ts';
import { type Projections, startProjections } from '../../../src/projections/engine/engine.ts';
import type { ReadModel } from '../../../src/projections/engine/read-model.ts';
import { checkpointName } from '../../../src/projections/engine/schema.ts';
import type { Delays } from '../../../src/projections/engine/timing.ts';
import { readModels } from '../../../src/projections/index.ts';
import { createTestDatabase } from '../../support/postgres.ts';
import { Historian } from './history.ts';

export interface House {
  readonly url: string;
  readonly pool: pg.Pool;
  readonly store: EventStore;
  readonly historian: Historian;
  readonly lines: string[];
  start(options?: Partial<Parameters<typeof startProjections>[0]>): Promise<Projections>;
  /** All rows of the tables, with positions, and the checkpoints, as text. */
  dump(models?: readonly ReadModel[]): Promise<string>;
}

/** Quick about everything that is only waiting. */
export const quick: Partial<Delays> = { standby: 50, takeOver: 400, keepAlive: 50, longestRetry: 50 };

export async function openHouse(): Promise<House> {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const store = await openPostgresEventStore({ connectionString: database.url });
  onTestFinished(() => store.close());
  const pool = new pg.Pool({ connectionString: database.url, max: 20 });
  pool.on('error', () => undefined);
  onTestFinished(() => pool.end());
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  return {
    url: database.url,
    pool,
    store,
    lines,
    historian: new Historian(store),
    async start(options = {}) {
      const projections = await startProjections({
        store,
        pool,
        models: readModels,
        log,
        delays: quick,
        ...options,
      });
      onTestFinished(() => projections.stop());
      return projections;
    },
    async dump(models = readModels) {
      const parts: string[] = [];
      for (const { name, table } of models) {
        const { rows } = await pool.query<{ row: string }>(
          `select t::text as row from tallyback.${name} t order by ${table.key.map((k) => `"${k}"`).join(', ')}`,
        );
        parts.push(name, ...rows.map(({ row }) => row));
      }
      return parts.join('\n');
    },
  };
}

/** When all projections have handled everything there is. */
export async function caughtUp(
  projections: Projections,
  store: EventStore,
  models: readonly ReadModel[] = readModels,
): Promise<void> {
  const head = await store.head();
  const signal = AbortSignal.timeout(20_000);
  await Promise.all(models.map((model) => projections.progress.reached(checkpointName(model), head, signal)));
}

/** Until it is so. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}
