/** A database with a log, read models that are kept up to date, and an audit. */
import type pg from 'pg';
import { onTestFinished } from 'vitest';
import { type EventStore, comparePositions } from '../../../src/eventstore/port.ts';
import { openPostgresEventStore } from '../../../src/eventstore/postgres/postgres-event-store.ts';
import { auditCheckpoint, Auditor, type AuditorOptions } from '../../../src/projections/audit/auditor.ts';
import type { AuditStorage, Finding } from '../../../src/projections/audit/storage.ts';
import { startProjections, type Projections } from '../../../src/projections/engine/engine.ts';
import type { ReadModel } from '../../../src/projections/engine/read-model.ts';
import { checkpointName, type ProjectionStorage } from '../../../src/projections/engine/storage.ts';
import { readModels } from '../../../src/projections/index.ts';
import { postgresAuditStorage } from '../../../src/projections/postgres/audit/index.ts';
import { postgresStorage } from '../../../src/projections/postgres/storage.ts';
import { openPool } from '../../../src/operations/pool.ts';
import { Historian } from '../../projections/support/history.ts';
import { createTestDatabase } from '../../support/postgres.ts';

export interface House {
  readonly url: string;
  readonly pool: pg.Pool;
  readonly store: EventStore;
  readonly storage: ProjectionStorage;
  readonly audit: AuditStorage;
  readonly historian: Historian;
  readonly lines: string[];
  start(options?: Partial<AuditorOptions>): Promise<Projections & { readonly auditor: Auditor }>;
  /** Findings that are not mended. */
  open(): Promise<readonly Finding[]>;
}

let instances = 0;

export async function openHouse(): Promise<House> {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const store = await openPostgresEventStore({ connectionString: database.url });
  onTestFinished(() => store.close());
  const pool = openPool(database.url, 24, () => undefined);
  onTestFinished(() => pool.end());
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  const storage = postgresStorage({ pool, store, checkpoints: [auditCheckpoint], log });
  const audit = postgresAuditStorage(pool);
  return {
    url: database.url,
    pool,
    store,
    storage,
    audit,
    lines,
    historian: new Historian(store),
    async start(options = {}) {
      const auditor = new Auditor({
        store,
        storage: audit,
        checkpoints: storage,
        models: readModels,
        rowsPerSecond: 1_000_000,
        delays: { pass: 20, round: 100, totals: 50, confirm: 20, longestRetry: 50 },
        log,
        ...options,
      });
      const projections = await startProjections({
        store,
        storage,
        models: options.models ?? readModels,
        instance: `test/${instances++}`,
        duties: () => [auditor],
        log,
        delays: { beat: 50, lease: 1_000, afterFailure: 50, longestRetry: 50 },
      });
      onTestFinished(() => projections.stop());
      return { ...projections, auditor };
    },
    open: async () => (await audit.findings(1_000)).filter(({ mendedAt }) => mendedAt === undefined),
  };
}

export async function caughtUp(
  { progress }: Projections,
  store: EventStore,
  models: readonly ReadModel[] = readModels,
): Promise<void> {
  const head = await store.head();
  const signal = AbortSignal.timeout(20_000);
  await Promise.all(models.map((model) => progress.reached(checkpointName(model), head, signal)));
}

/** When everything has been looked at: amounts to the end of the log, and two rounds through everything. */
export async function audited({ audit, store }: House, auditor: Auditor): Promise<void> {
  const head = await store.head();
  for (let state = await audit.load(); !state || comparePositions(state.position, head) < 0;)
    state = await later(() => audit.load());
  const { rounds } = auditor.done;
  while (auditor.done.rounds < rounds + 2) await later(() => Promise.resolve());
}

const later = <T>(look: () => Promise<T>): Promise<T> =>
  new Promise<void>((resolve) => setTimeout(resolve, 20)).then(look);
