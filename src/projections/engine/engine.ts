/** Starts and stops all projections of a process, and opens their tables for reading. */
import type pg from 'pg';
import type { EventStore } from '../../eventstore/port.ts';
import type { OtherLog } from './errors.ts';
import { followLog } from './followed-log.ts';
import { ProgressHub } from './progress.ts';
import { type ProjectionStatus, Projector } from './projector.ts';
import type { ReadModel } from './read-model.ts';
import type { ReadModelReader } from './reading.ts';
import { readModelReader } from './reader.ts';
import { ensureTables } from './schema.ts';
import { defaultDelays, type Delays, type Timing } from './timing.ts';
import { systemTiming } from './edges.ts';

export interface ProjectionsOptions {
  readonly store: EventStore;
  /** Used by all projections (two connections each, at most) and by the reader. */
  readonly pool: pg.Pool;
  readonly models: readonly ReadModel[];
  readonly log: (line: string) => void;
  /** Most events folded at a time; default 2,000. */
  readonly maxEvents?: number;
  /** Most rows of a read model kept in memory; default 10,000. */
  readonly cachedRows?: number;
  readonly timing?: Timing;
  readonly delays?: Partial<Delays>;
  /** Called when the database has come to follow another log than `store`: nothing here can go on. */
  readonly onOtherLog?: (error: OtherLog) => void;
}

export interface Projections {
  readonly reader: ReadModelReader;
  readonly progress: ProgressHub;
  status(): readonly ProjectionStatus[];
  /** Finishes the batches in hand, saves the checkpoints and lets another process take over. */
  stop(): Promise<void>;
}

/** An unreachable database must not keep a process from ending; what is not saved is done again. */
const longestStop = 5_000;

/**
 * Creates what tables are missing; rejects if the database cannot be reached, and with OtherLog if its read models
 * follow another log. The projections then run by themselves.
 */
export async function startProjections(options: ProjectionsOptions): Promise<Projections> {
  const { store, pool, models, log, timing = systemTiming } = options;
  const delays = { ...defaultDelays, ...options.delays };
  await followLog(pool, store, log, timing);
  await ensureTables(pool, models, log);
  const progress = new ProgressHub(pool, { timing, poll: delays.poll, log });
  const stopping = new AbortController();
  const projectors = models.map(
    (model) =>
      new Projector({
        store,
        pool,
        model,
        progress,
        timing,
        delays,
        log,
        onOtherLog: options.onOtherLog,
        maxEvents: options.maxEvents ?? 2_000,
        cachedRows: options.cachedRows ?? 10_000,
      }),
  );
  const running = Promise.all(projectors.map((projector) => projector.run(stopping.signal)));
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    stopping.abort();
    const inTime = new AbortController();
    await Promise.race([running, timing.sleep(longestStop, inTime.signal)]);
    inTime.abort();
    progress.close();
  };
  return {
    reader: readModelReader(pool),
    progress,
    status: () => projectors.map((projector) => projector.status()),
    stop: () => (stopped ??= stop()),
  };
}
