/** The projections of one instance: what it leads, how far everything is, and where to read. */
import type { EventStore } from '../../eventstore/port.ts';
import { Catalog } from './catalog.ts';
import { systemTiming } from './edges.ts';
import type { OtherLog } from './errors.ts';
import type { FollowLimits } from './follow.ts';
import { type Duty, LeaseKeeper } from './leases.ts';
import { ProgressHub } from './progress.ts';
import { type ProjectionStatus, Projector } from './projector.ts';
import type { ReadModel } from './read-model.ts';
import { type Generation, leaseName, type ProjectionStorage } from './storage.ts';
import type { FoldThreads } from './threaded-folder.ts';
import { defaultDelays, type Delays, type Timing } from './timing.ts';

export interface ProjectionsOptions {
  readonly store: EventStore;
  readonly storage: ProjectionStorage;
  readonly models: readonly ReadModel[];
  /** Of this instance: another one every time a process starts. */
  readonly instance: string;
  /** Whether this instance folds; otherwise it reads what others do. Default: it does. */
  readonly projects?: boolean;
  /** Which of the generations it would fold it is to lead; default: all. */
  readonly leads?: (generation: Generation) => boolean;
  /** Whatever else one instance at a time is to do: policies. */
  readonly duties?: (progress: ProgressHub) => readonly Duty[];
  readonly log: (line: string) => void;
  readonly limits?: Partial<FollowLimits>;
  /** While a generation is built. */
  readonly rebuildLimits?: Partial<FollowLimits>;
  /** Events that a rebuild takes in a second, at most. */
  readonly rebuildEventsPerSecond?: number | undefined;
  /** Where read models that say how they may be partitioned are folded; absent: in this thread, as all others. */
  readonly foldThreads?: FoldThreads | undefined;
  /** Whether this process has clients to serve just now: a rebuild then leaves them most of the thread's time. */
  readonly isBusy?: () => boolean;
  readonly timing?: Timing;
  readonly delays?: Partial<Delays>;
  /** Called when the database has come to follow another log than `store`: nothing here can go on. */
  readonly onOtherLog?: (error: OtherLog) => void;
}

export interface Projections {
  readonly catalog: Catalog;
  readonly progress: ProgressHub;
  /** Of what this instance has led. */
  status(): readonly ProjectionStatus[];
  /** Names of the checkpoints that this instance leads now. */
  leading(): readonly string[];
  /** Has this instance look at once for something to do. */
  nudge(): void;
  /** Finishes the batches in hand, saves the checkpoints and lets other instances take over. */
  stop(): Promise<void>;
}

const defaultLimits: FollowLimits = {
  maxEvents: 2_000,
  cachedRows: 10_000,
  pendingRows: 20_000,
  gatheredRows: 1,
};
/** Nobody waits for what a rebuild writes, so a row that changes again is written once for several changes. */
const defaultRebuildLimits: FollowLimits = {
  maxEvents: 2_000,
  cachedRows: 100_000,
  pendingRows: 50_000,
  gatheredRows: 20_000,
};

/** An unreachable database must not keep a process from ending; what is not saved is done again. */
const longestStop = 5_000;

/**
 * Makes what tables are missing; rejects if the database cannot be reached, with OtherLog if its read models follow
 * another log, with OtherVersion if they are newer. All else then runs by itself.
 */
export async function startProjections(options: ProjectionsOptions): Promise<Projections> {
  const { storage, models, instance, log, projects = true, timing = systemTiming } = options;
  const leads = options.leads ?? (() => true);
  const delays = { ...defaultDelays, ...options.delays };
  await storage.prepare(models);
  const catalog = new Catalog(models, storage);
  await catalog.refresh();
  const progress = new ProgressHub({
    storage,
    signals: storage.signals,
    instance,
    catalog,
    timing,
    poll: delays.poll,
    log,
  });
  const duties = options.duties?.(progress) ?? [];
  const projectors = new Map<string, Projector>();

  const projectorsNow = (): readonly Projector[] =>
    catalog.folded().flatMap(([model, generation]) => {
      if (!leads(generation)) return [];
      const name = leaseName(generation);
      const known = projectors.get(name);
      if (known) return known;
      const projector = new Projector(model, generation, {
        ...options,
        catalog,
        progress,
        timing,
        delays,
        limits: { ...defaultLimits, ...options.limits },
        rebuildLimits: { ...defaultRebuildLimits, ...options.rebuildLimits },
        rebuildEventsPerSecond: options.rebuildEventsPerSecond,
        isBusy: options.isBusy,
      });
      projectors.set(name, projector);
      return projector;
    });

  const keeper = new LeaseKeeper({
    storage,
    instance,
    timing,
    delays,
    log,
    onOtherLog: options.onOtherLog,
    duties: () => (projects ? [...projectorsNow(), ...duties] : duties),
    onCluster: ({ generations, leases }) => {
      catalog.update(generations);
      for (const { name, owner } of leases) if (owner !== instance) projectors.get(name)?.ledElsewhere();
    },
  });
  const stopping = new AbortController();
  const running = keeper.run(stopping.signal);
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    stopping.abort();
    const inTime = new AbortController();
    await Promise.race([running, timing.sleep(longestStop, inTime.signal)]);
    inTime.abort();
    progress.close();
  };
  return {
    catalog,
    progress,
    status: () => Array.from(projectors.values(), (projector) => projector.status()),
    leading: () => keeper.leading,
    nudge: () => keeper.nudge(),
    stop: () => (stopped ??= stop()),
  };
}
