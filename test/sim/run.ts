/**
 * A run: a few processes, a log that grows, and a time of turmoil in which everything that may go wrong does; whatever
 * is committed must be right at every moment. Then nothing goes wrong any more, and everything must come to rest where
 * it endss within a time.
 */
import { policyCheckpointName } from '../../src/application/policy-runner.ts';
import { noStream } from '../../src/eventstore/port.ts';
import { checkpointName } from '../../src/projections/engine/storage.ts';
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

/** Milliseconds after which all must be at rest once nothing goes wrong any more … */
const calmTime = 60_000;
/** … and after new events: sooner than by looking now and then. */
const promptTime = 15_000;
/** … and in which who waits for what is there is told so. */
const toldTime = 3_000;
/** So much longer than the turmoil the log grows, for something to be left to do in peace. */
const aftermath = 0.1;

const isWrong = ({ judge }: World): boolean => judge.violations.length > 0;

export async function run(
  seed: number,
  change: Partial<RunOptions> = {},
  bug?: PlantedBug,
): Promise<RunResult> {
  const world = createWorld(seed, change, bug);
  const { scheduler, options, judge } = world;
  const processes = Array.from({ length: options.instances }, (_, place) => new Process(world, place));
  for (const process of processes) scheduler.after(scheduler.between(0, 1_000), () => process.start());
  growLog(world, options.events, options.turmoil * (1 + aftermath));
  for (const mishap of options.mishaps) befall(mishap, world, processes);
  world.databaseNetwork.strike = (id) => strike(id, world, processes);

  await scheduler.pass(options.turmoil, () => isWrong(world));
  if (!isWrong(world)) {
    await endTurmoil(world, processes);
    await rest(world, processes, calmTime);
  }
  if (!isWrong(world)) {
    // What hung when the turmoil ended, on its way there or back, has been answered by now.
    await scheduler.pass(2 * options.storage.stall + options.store.stall, () => isWrong(world));
    growLog(world, 10, 500);
    await scheduler.pass(500, () => isWrong(world));
    await rest(world, processes, promptTime);
    await tellEverybody(world, processes);
  }
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

/** Appends that many events within a time. */
function growLog({ scheduler, log }: World, events: number, within: number): void {
  for (let n = 0; n < events; n++) {
    scheduler.after(scheduler.between(0, within), () => {
      const { stream, type, data } = scheduler.pick(happenings());
      const id = `00000000-0000-4000-8000-${log.events.length.toString(16).padStart(12, '0')}`;
      const end = log.stream(stream).at(-1)?.revision ?? noStream;
      log.append(stream, end, [{ id, type, data, metadata: '{}' }]);
    });
  }
}

async function endTurmoil(world: World, processes: readonly Process[]): Promise<void> {
  const { scheduler, databaseNetwork, storeNetwork, options } = world;
  world.note('from now on nothing goes wrong');
  databaseNetwork.isDown = false;
  databaseNetwork.faults = { ...databaseNetwork.faults, ...noStorageFaults };
  storeNetwork.faults = { ...storeNetwork.faults, ...noStoreFaults };
  for (const process of processes) {
    process.resume();
    process.start();
  }
  await scheduler.pass(options.turmoil * aftermath, () => isWrong(world));
}

/** Everything must be where it belongs, at last. */
async function rest(world: World, processes: readonly Process[], within: number): Promise<void> {
  const { scheduler, judge } = world;
  const from = scheduler.now;
  const ends = stopsOf(world);
  let why = unrest(world, processes, ends);
  while (why !== undefined && !isWrong(world) && scheduler.now < from + within) {
    await scheduler.pass(200, () => isWrong(world));
    why = unrest(world, processes, ends);
  }
  for (const process of processes) world.note(process.describe());
  if (why !== undefined) judge.violation(`after ${within / 1_000} s without faults: ${why}`);
  judge.compareAll();
}

/** Whoever waits for the end of the log, anywhere, must hear that it is reached. */
async function tellEverybody(world: World, processes: readonly Process[]): Promise<void> {
  const { scheduler, judge, log, policies } = world;
  const ends = stopsOf(world);
  const models = world.models().filter(({ name }) => !ends.has(name));
  const waiting = new Set<string>();
  for (const process of processes) {
    for (const name of [...models.map(checkpointName), ...policies.map(policyCheckpointName)]) {
      const waiter = `${process.id} for ${name}`;
      waiting.add(waiter);
      void process.reached(name, log.end).then(() => waiting.delete(waiter));
    }
  }
  await scheduler.pass(toldTime, () => waiting.size === 0);
  if (waiting.size > 0 && !isWrong(world)) judge.violation(`still waiting: ${[...waiting].join(', ')}`);
}
