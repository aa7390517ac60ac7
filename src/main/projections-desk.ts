/** What the projections command works with: the database and the log, beside a running server or without one. */
import { hostname, userInfo } from 'node:os';
import type pg from 'pg';
import type { EventStore } from '../eventstore/port.ts';
import type { ServerConfiguration } from '../operations/configuration.ts';
import { closePool, openPool } from '../operations/pool.ts';
import { joinRunningPostgres, startPostgres } from '../operations/postgres/index.ts';
import type { ProjectionOperator } from '../projections/engine/operator.ts';
import type { ReadModel } from '../projections/engine/read-model.ts';
import type { ProjectionStorage } from '../projections/engine/storage.ts';
import { readModels } from '../projections/index.ts';
import { postgresOperator } from '../projections/postgres/operator/index.ts';
import { postgresStorage } from '../projections/postgres/storage.ts';
import { openEventStore } from './event-store.ts';
import type { Terminal } from './terminal.ts';
import { UsageError } from './usage.ts';

export interface Desk {
  readonly configuration: ServerConfiguration;
  readonly terminal: Terminal;
  readonly pool: pg.Pool;
  readonly store: EventStore;
  readonly storage: ProjectionStorage;
  readonly operator: ProjectionOperator;
  /** For the record. */
  readonly who: string;
}

export async function withDesk<R>(
  configuration: ServerConfiguration,
  terminal: Terminal,
  use: (desk: Desk) => Promise<R>,
): Promise<R> {
  const { databaseUrl, dataDir, postgresBinDir: binDir, postgresSettings: settings } = configuration;
  const { log } = terminal;
  const running = databaseUrl === undefined ? await joinRunningPostgres(dataDir) : undefined;
  const postgres = running ?? (await startPostgres({ databaseUrl, binDir, dataDir, settings, log }));
  try {
    const store = await openEventStore(configuration, postgres.url, log);
    const pool = openPool(postgres.url, 6, log);
    try {
      const storage = postgresStorage({ pool, store, log });
      await storage.prepare(readModels);
      const operator = postgresOperator(pool, store);
      return await use({ configuration, terminal, pool, store, storage, operator, who: whoAmI() });
    } finally {
      await store.close();
      await closePool(pool);
    }
  } finally {
    await postgres.stop();
  }
}

function whoAmI(): string {
  let user = 'somebody';
  try {
    user = userInfo().username;
  } catch {
    // An account without a name, as containers have.
  }
  return `${user} on ${hostname()}`;
}

/** Throws UsageError with the names there are. */
export function modelOf(name: string): ReadModel {
  const model = readModels.find((candidate) => candidate.name === name);
  if (model) return model;
  const names = readModels.map((known) => known.name).join(', ');
  throw new UsageError(`there is no read model "${name}"; there are ${names}`);
}
