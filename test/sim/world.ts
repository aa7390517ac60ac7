/** Everything in a run that outlives a process, and what the processes are told. */
import type { Policy } from '../../src/domain/policies/policy.ts';
import type { ReadModel } from '../../src/projections/engine/read-model.ts';
import { CarriedOut } from './commands.ts';
import { Database } from './database.ts';
import { Generations } from './generations.ts';
import { Judge } from './judge.ts';
import { Log } from './log.ts';
import { models } from './models.ts';
import { expand, type PlantedBug, type RunOptions } from './options.ts';
import { policies } from './policies.ts';
import { Scheduler } from './scheduler.ts';
import type { DatabaseNetwork } from './storage.ts';
import type { StoreNetwork } from './store.ts';

export interface World {
  readonly options: RunOptions;
  readonly bug: PlantedBug | undefined;
  readonly scheduler: Scheduler;
  readonly log: Log;
  readonly database: Database;
  readonly generations: Generations;
  readonly judge: Judge;
  /** Of the code that is current: see `upgrade`. */
  models(): readonly ReadModel[];
  readonly policies: readonly Policy[];
  readonly carriedOut: CarriedOut;
  readonly databaseNetwork: DatabaseNetwork;
  readonly storeNetwork: StoreNetwork;
  /** What happened, with the time: printed when a run fails. */
  readonly lines: string[];
  note(line: string): void;
}

export function createWorld(seed: number, change: Partial<RunOptions>, bug: PlantedBug | undefined): World {
  const scheduler = new Scheduler(seed);
  const expanded = expand(
    seed,
    scheduler,
    models.map(({ name }) => name),
  );
  const options = { ...expanded, ...change };
  const used = models.filter(({ name }) => options.models.includes(name));
  const next = used.map((model): ReadModel => ({ ...model, version: model.version + 1 }));
  const usedPolicies = options.policies ? policies : [];
  const carriedOut = new CarriedOut();
  const log = new Log('the-log', scheduler.random, options.numbering);
  const database = new Database(() => scheduler.now, bug === 'deaf' || bug === 'credulous' ? undefined : bug);
  const { storage, store, poll, largestBatch } = options;
  const lines: string[] = [];
  return {
    options,
    bug,
    scheduler,
    log,
    database,
    generations: new Generations(database),
    judge: new Judge(database, log, [...used, ...next], usedPolicies, carriedOut),
    models: () => (scheduler.now >= (options.upgrade ?? Infinity) ? next : used),
    policies: usedPolicies,
    carriedOut,
    databaseNetwork: { faults: storage, isDown: false, strike: () => undefined },
    storeNetwork: { faults: store, poll, largestBatch },
    lines,
    note: (line) => void lines.push(`${Math.round(scheduler.now)} ${line}`),
  };
}
