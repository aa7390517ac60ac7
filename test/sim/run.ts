/**
 * A run: a few processes, a log that grows, and a time of turmoil in which everything that may go wrong does; whatever
 * is committed must be right at every moment. Then nothing goes wrong any more, and everything must come to rest where
 * it endss within a time.
 */
import { noStream } from '../../src/eventstore/port.ts';
import { Process } from './cluster.ts';
import { happenings } from './happenings.ts';
import { befall, strike } from './mishaps.ts';
import type { PlantedBug, RunOptions } from './options.ts';
import { stopsOf, unrest } from './rest.ts';
import { noStorageFaults } from './storage.ts';
import { noStoreFaults } from './store.ts';
import { createWorld, type World } from './world.ts';

export interface RunResult {
  readonly options: RunOptions;
  /** What is wrong; empty: nothing. */
  readonly violations: readonly string[];
  readonly lines: readonly string[];
  readonly commits: number;
  readonly steps: number;
  /** Milliseconds of virtual time. */
  readonly time: number;
}

/** Milliseconds after which all must be at rest. */
const calmTime = 60_000;

export async function run(
  seed: number,
  change: Partial<RunOptions> = {},
  bug?: PlantedBug,
): Promise<RunResult> {
  const world = createWorld(seed, change, bug);
  const { scheduler, options, judge } = world;
  const processes = Array.from({ length: options.instances }, (_, place) => new Process(world, place));
  for (const process of processes) scheduler.after(scheduler.between(0, 1_000), () => process.start());
  growLog(world);
  for (const mishap of options.mishaps) befall(mishap, world, processes);
  world.databaseNetwork.strike = (id) => strike(id, world, processes);

  const isWrong = (): boolean => judge.violations.length > 0;
  await scheduler.pass(options.turmoil, isWrong);
  if (!isWrong()) await rest(world, processes, isWrong);
  for (const process of processes) process.crash();
  return {
    options,
    violations: judge.violations,
    lines: world.lines,
    commits: judge.commits,
    steps: scheduler.steps,
    time: scheduler.now,
  };
}

/** Appends, at any time until shortly after the turmoil, so that something remains to be done in peace. */
function growLog({ scheduler, options, log }: World): void {
  for (let n = 0; n < options.events; n++) {
    scheduler.after(scheduler.between(0, options.turmoil * 1.1), () => {
      const { stream, type, data } = scheduler.pick(happenings());
      const id = `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;
      log.append(stream, log.stream(stream).at(-1)?.revision ?? noStream, [
        { id, type, data, metadata: '{}' },
      ]);
    });
  }
}

async function rest(world: World, processes: readonly Process[], isWrong: () => boolean): Promise<void> {
  const { scheduler, judge, databaseNetwork, storeNetwork, options } = world;
  world.note('from now on nothing goes wrong');
  databaseNetwork.isDown = false;
  databaseNetwork.faults = { ...databaseNetwork.faults, ...noStorageFaults };
  storeNetwork.faults = { ...storeNetwork.faults, ...noStoreFaults };
  for (const process of processes) {
    process.resume();
    process.start();
  }
  await scheduler.pass(options.turmoil * 0.1, isWrong);
  const ends = stopsOf(world);
  const calmFrom = scheduler.now;
  let why = unrest(world, processes, ends);
  while (why !== undefined && !isWrong() && scheduler.now < calmFrom + calmTime) {
    await scheduler.pass(200, isWrong);
    why = unrest(world, processes, ends);
  }
  for (const process of processes) world.note(process.describe());
  if (why !== undefined) judge.violation(`after ${calmTime / 1_000} s without faults: ${why}`);
  judge.compareAll();
}
