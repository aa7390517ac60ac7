/**
 * The composition root: every part of a server, made from the parts it needs. Nothing below src/main knows of
 * inversify. A part that must be stopped says so when it is made; `stop` goes through them backwards.
 */
import { Container, type ServiceIdentifier } from 'inversify';
import type pg from 'pg';
import { startApiServer, type ApiServer } from '../api/server.ts';
import { commandBus } from '../application/command-bus.ts';
import { policyCheckpointName, runPolicy } from '../application/policy-runner.ts';
import { type PositionTokens, positionTokens } from '../application/position-token.ts';
import { type Seal, sealWith } from '../application/seal.ts';
import { postgresRefusedRecords } from '../application/refused-records-postgres.ts';
import type { RefusedRecords } from '../application/refused-records.ts';
import { postgresSnapshotStore } from '../application/snapshot-store-postgres.ts';
import { Snapshots } from '../application/snapshots.ts';
import { policies } from '../domain/policies/index.ts';
import type { EventStore } from '../eventstore/port.ts';
import { watchedBus } from './busy.ts';
import { countEvents, openEventStore } from './event-store.ts';
import type { InstanceFigures } from './metrics/figures.ts';
import { lookUp } from './metrics/look-up.ts';
import { foldThreads } from './fold-threads.ts';
import type { ServerConfiguration } from '../operations/configuration.ts';
import { loadTokenKey } from '../operations/installation.ts';
import { type MetricsServer, startMetrics } from '../operations/metrics.ts';
import { type PostgresServer, startPostgres } from '../operations/postgres/index.ts';
import { closePool, openPool } from '../operations/pool.ts';
import { instanceId, systemClock, systemTiming } from '../operations/timing.ts';
import { auditCheckpoint, Auditor } from '../projections/audit/auditor.ts';
import type { AuditStorage } from '../projections/audit/storage.ts';
import { type Projections, startProjections } from '../projections/engine/engine.ts';
import { LeasedCheckpoint } from '../projections/engine/leased-checkpoint.ts';
import type { Duty } from '../projections/engine/leases.ts';
import type { ProjectionOperator } from '../projections/engine/operator.ts';
import type { ProjectionStorage } from '../projections/engine/storage.ts';
import { readModels } from '../projections/index.ts';
import { postgresOperator } from '../projections/postgres/operator/index.ts';
import { postgresAuditStorage } from '../projections/postgres/audit/index.ts';
import { readModelReader } from '../projections/postgres/reader.ts';
import { postgresStorage } from '../projections/postgres/storage.ts';

const id = <T>(name: string): ServiceIdentifier<T> => Symbol.for(`tallyback.${name}`);

export const parts = {
  postgres: id<PostgresServer>('postgres'),
  pool: id<pg.Pool>('pool'),
  store: id<EventStore>('store'),
  tokens: id<PositionTokens>('tokens'),
  seal: id<Seal>('seal'),
  tokenKey: id<Uint8Array>('tokenKey'),
  refusedRecords: id<RefusedRecords>('refused-records'),
  snapshots: id<Snapshots>('snapshots'),
  bus: id<ReturnType<typeof watchedBus>>('bus'),
  storage: id<ProjectionStorage>('storage'),
  operator: id<ProjectionOperator>('operator'),
  audit: id<AuditStorage>('audit'),
  /** Undefined: this instance takes no part in it. */
  auditor: id<Auditor | undefined>('auditor'),
  projections: id<Projections>('projections'),
  api: id<ApiServer>('api'),
  metrics: id<MetricsServer | undefined>('metrics'),
} as const;

export interface Composition {
  /** Resolves, with what there is to say, when what was made can do nothing of use any more. */
  readonly lost: Promise<string>;
  /** A part, made with all it needs if it was not there yet. */
  get<T>(part: ServiceIdentifier<T>): Promise<T>;
  /** Stops everything that was started, last started first. */
  stop(): Promise<void>;
}

/** Those that are still there, and that nobody else leads. */
const failedHere = ({ status, catalog }: Projections): readonly string[] =>
  status()
    .filter(({ name, generation, state }) => state === 'failed' && catalog.find(name, generation))
    .map(({ name, generation }) => `${name}/${generation}`);

export function compose(configuration: ServerConfiguration, log: (line: string) => void): Composition {
  const { roles } = configuration;
  const container = new Container({ defaultScope: 'Singleton' });
  const stops: (() => Promise<void>)[] = [];
  const ended = new AbortController();
  const end = (why: string): void => ended.abort(why);
  const lost = new Promise<string>((resolve) => {
    ended.signal.addEventListener('abort', () => resolve(String(ended.signal.reason)));
  });

  const bind = <T>(
    part: ServiceIdentifier<T>,
    make: (get: Composition['get']) => Promise<T> | T,
    stop?: (made: T) => Promise<void>,
  ): void => {
    container.bind<T>(part).toDynamicValue(async (context) => {
      const made = await make((needed) => context.getAsync(needed));
      if (stop) stops.push(() => stop(made));
      return made;
    });
  };

  bind(
    parts.postgres,
    () =>
      startPostgres({
        databaseUrl: configuration.databaseUrl,
        binDir: configuration.postgresBinDir,
        dataDir: configuration.dataDir,
        settings: configuration.postgresSettings,
        log,
      }),
    (postgres) => postgres.stop(),
  );
  bind(
    parts.pool,
    async (get) => openPool((await get(parts.postgres)).url, 24, log),
    (pool) => closePool(pool),
  );
  bind(
    parts.store,
    async (get) => openEventStore(configuration, (await get(parts.postgres)).url, log),
    (store) => store.close(),
  );
  bind(parts.tokenKey, async (get) =>
    configuration.tokenKey ? Buffer.from(configuration.tokenKey) : loadTokenKey(await get(parts.pool)),
  );
  bind(parts.tokens, async (get) => positionTokens(await get(parts.tokenKey), (await get(parts.store)).id));
  bind(parts.seal, async (get) => sealWith(await get(parts.tokenKey), (await get(parts.store)).id));
  bind(parts.refusedRecords, async (get) => postgresRefusedRecords(await get(parts.pool)));
  bind(
    parts.snapshots,
    async (get) =>
      new Snapshots({
        snapshotStore: postgresSnapshotStore(await get(parts.pool)),
        store: await get(parts.store),
        timing: systemTiming,
        log,
      }),
    (snapshots) => snapshots.close(),
  );
  bind(parts.bus, async (get) =>
    watchedBus(
      commandBus({
        store: await get(parts.store),
        timing: systemTiming,
        snapshots: await get(parts.snapshots),
      }),
    ),
  );
  bind(parts.storage, async (get) =>
    postgresStorage({
      pool: await get(parts.pool),
      store: await get(parts.store),
      checkpoints: [...policies.map(policyCheckpointName), auditCheckpoint],
      log,
    }),
  );
  bind(parts.operator, async (get) => postgresOperator(await get(parts.pool), await get(parts.store)));
  bind(parts.audit, async (get) => postgresAuditStorage(await get(parts.pool)));
  bind(parts.auditor, async (get) =>
    roles.includes('projector') && configuration.auditRowsPerSecond > 0
      ? new Auditor({
          store: await get(parts.store),
          storage: await get(parts.audit),
          checkpoints: await get(parts.storage),
          models: readModels,
          rowsPerSecond: configuration.auditRowsPerSecond,
          log,
        })
      : undefined,
  );
  bind(
    parts.projections,
    async (get) => {
      const [store, storage, bus] = [await get(parts.store), await get(parts.storage), await get(parts.bus)];
      const auditor = await get(parts.auditor);
      const { url } = await get(parts.postgres);
      return startProjections({
        store,
        storage,
        models: readModels,
        instance: instanceId(),
        projects: roles.includes('projector'),
        isBusy: () => bus.isBusy(),
        duties: (progress) => [
          ...(auditor ? [auditor] : []),
          ...(roles.includes('policies') ? policies : []).map((policy): Duty => ({
            name: policyCheckpointName(policy),
            async lead(held, signal) {
              const checkpoint = new LeasedCheckpoint(held, storage, progress, systemTiming);
              await runPolicy({ policy, store, bus, checkpoint, timing: systemTiming, log, signal }).finally(
                () => checkpoint.close(),
              );
            },
          })),
        ],
        rebuildEventsPerSecond: configuration.rebuildEventsPerSecond,
        foldThreads: foldThreads(configuration.foldThreads, url),
        log,
        onOtherLog: ({ message }) => end(message),
      });
    },
    (projections) => projections.stop(),
  );
  bind(
    parts.api,
    async (get) => {
      const [store, bus, projections] = [
        await get(parts.store),
        await get(parts.bus),
        await get(parts.projections),
      ];
      return startApiServer({
        listen: configuration.listen,
        sse: configuration.sse,
        bus,
        reader: readModelReader(await get(parts.pool), projections.catalog),
        progress: projections.progress,
        streams: store,
        head: () => store.head(),
        subscribe: (options) => store.subscribe(options),
        countEvents: (after, head) => countEvents(configuration, after, head),
        tokens: await get(parts.tokens),
        seal: await get(parts.seal),
        refusedRecords: await get(parts.refusedRecords),
        operator: await get(parts.operator),
        failedProjections: () => failedHere(projections),
        policies: policies.map(policyCheckpointName),
        clock: systemClock,
        log,
      });
    },
    (api) => api.stop(),
  );
  bind(
    parts.metrics,
    async (get) => {
      const { metricsListen } = configuration;
      if (metricsListen === undefined) return undefined;
      const instance: InstanceFigures = {
        pool: await get(parts.pool),
        store: await get(parts.store),
        projections: await get(parts.projections),
        models: readModels,
        policies: policies.map((policy) => ({ name: policy.name, checkpoint: policyCheckpointName(policy) })),
        audit: await get(parts.audit),
        auditor: await get(parts.auditor),
        watches: roles.includes('api') ? (await get(parts.api)).watchCounts : {},
        countEvents: (after, head) => countEvents(configuration, after, head),
      };
      return startMetrics({ listen: metricsListen, look: () => lookUp(instance), log });
    },
    (metrics) => metrics?.stop() ?? Promise.resolve(),
  );

  return {
    lost,
    get: (part) => container.getAsync(part),
    async stop() {
      for (const stop of stops.splice(0).toReversed()) {
        await stop().catch((error: unknown) => log(`while stopping: ${String(error)}`));
      }
    },
  };
}
