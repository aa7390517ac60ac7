/** The engine's storage in Postgres. */
import type pg from 'pg';
import type { EventStore } from '../../eventstore/port.ts';
import { systemTiming } from '../engine/edges.ts';
import type { ProjectionStorage } from '../engine/storage.ts';
import type { Timing } from '../engine/timing.ts';
import * as checkpoints from './checkpoints.ts';
import { followLog } from './followed-log.ts';
import * as generations from './generations.ts';
import * as rebuilds from './rebuilds.ts';
import { rejected } from './rejected.ts';
import * as rows from './rows.ts';
import { ensureGenerations, ensureSchema } from './schema.ts';
import { postgresSignals } from './signals.ts';

export interface PostgresStorageOptions {
  /** Two connections for each projection that is led here, at most. */
  readonly pool: pg.Pool;
  /** The log whose positions the checkpoints are. */
  readonly store: Pick<EventStore, 'id' | 'origin'>;
  /** Other checkpoints that are to be there, such as "policy:order-rebate". */
  readonly checkpoints?: readonly string[];
  readonly log: (line: string) => void;
  readonly timing?: Timing;
}

export function postgresStorage(options: PostgresStorageOptions): ProjectionStorage {
  const { pool, store, log, timing = systemTiming } = options;
  return {
    async prepare(models) {
      await ensureSchema(pool);
      await followLog(pool, store, log, timing);
      await ensureGenerations(pool, models, options.checkpoints ?? []);
    },
    load: (model, generation, keys) => rows.load(pool, model, generation, keys),
    write: (batch) => rows.write(pool, batch),
    parkedScopes: (generation) => rows.parkedScopes(pool, generation),
    beat: (beat) => generations.beat(pool, beat),
    leave: (instance) => generations.leave(pool, instance),
    generations: () => generations.generations(pool),
    claim: (name, instance) => checkpoints.claim(pool, name, instance, store.id),
    seek: (held) => checkpoints.seek(pool, held),
    move: (held, from, to) => checkpoints.move(pool, held, from, to),
    release: (held, instance) => checkpoints.release(pool, held, instance),
    fail: (held, failure) => checkpoints.fail(pool, held, failure),
    positions: (names) => checkpoints.positions(pool, names),
    setStage: (held, generation, stage, report) => rebuilds.setStage(pool, held, generation, stage, report),
    noteProgress: (generation, numbers) => rebuilds.noteProgress(pool, generation, numbers),
    index: (model, generation) => rebuilds.index(pool, model, generation).catch(rejected),
    compare: (model, generation) => rebuilds.compare(pool, model, generation).catch(rejected),
    freeze: (held, generation) => rebuilds.freeze(pool, held, generation),
    signals: postgresSignals(pool, timing),
    swap: (held, generation) => rebuilds.swap(pool, held, generation),
    drop: (held, generation) => rebuilds.drop(pool, held, generation),
  };
}
