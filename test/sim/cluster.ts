/** Processes: each runs the real engine on a simulated machine, dies, is paused or stopped, and is started again. */
import { policyCheckpointName, runPolicy } from '../../src/application/policy-runner.ts';
import { comparePositions, formatPosition, type Position } from '../../src/eventstore/port.ts';
import { type Projections, startProjections } from '../../src/projections/engine/engine.ts';
import { LeasedCheckpoint } from '../../src/projections/engine/leased-checkpoint.ts';
import type { ReadModel } from '../../src/projections/engine/read-model.ts';
import { checkpointName, type Signals } from '../../src/projections/engine/storage.ts';
import type { Delays } from '../../src/projections/engine/timing.ts';
import { flaky } from './models.ts';
import type { World } from './world.ts';
import { simulatedBus } from './commands.ts';
import { Instance } from './instance.ts';
import { simulatedStorage } from './storage.ts';
import { simulatedStore } from './store.ts';

export class Process {
  readonly #world: World;
  readonly #place: number;
  #models: readonly ReadModel[] = [];
  #starts = 0;
  #instance: Instance | undefined;
  #projections: Projections | undefined;

  constructor(world: World, place: number) {
    this.#world = world;
    this.#place = place;
  }

  get isUp(): boolean {
    return this.#instance !== undefined;
  }

  /** Of the read models it knows. */
  get version(): number | undefined {
    return this.#models[0]?.version;
  }

  get id(): string | undefined {
    return this.#instance?.id;
  }

  /** What it believes, for messages. */
  describe(): string {
    const status = this.#projections
      ?.status()
      .map(({ name, generation, state }) => `${name}/${generation} ${state}`);
    return `${this.id} (${this.#instance?.state}) leads ${this.#projections?.leading().join(', ')}; ${status?.join(', ')}`;
  }

  /** Whether its clients are told that everything is handled up to a position. */
  async reached(name: string, position: Position): Promise<void> {
    await this.#projections?.progress.reached(name, position, new AbortController().signal);
  }

  start(): void {
    if (this.#instance) return;
    const { scheduler, options, bug } = this.#world;
    const id = `${'abc'[this.#place]}${++this.#starts}`;
    this.#instance = new Instance(id, scheduler, {
      pace: options.paces[this.#place] ?? 1,
      isDeaf: bug === 'deaf',
    });
    void this.#run(this.#instance);
  }

  crash(): void {
    this.#world.note(`${this.id} crashes`);
    this.#instance?.kill();
    this.#instance = undefined;
    this.#projections = undefined;
  }

  pause(): void {
    this.#world.note(`${this.id} is paused`);
    this.#instance?.pause();
  }

  resume(): void {
    this.#world.note(`${this.id} goes on`);
    this.#instance?.resume();
  }

  /** In good order; calls back when it is over. */
  stop(over: () => void): void {
    const [instance, projections] = [this.#instance, this.#projections];
    // One that has not come up yet has nothing to put in order.
    if (!instance || !projections) return;
    this.#world.note(`${instance.id} is stopped`);
    void projections.stop().then(() => {
      this.#world.note(`${instance.id} has ended`);
      if (this.#instance !== instance) return;
      instance.kill();
      this.#instance = undefined;
      this.#projections = undefined;
      over();
    });
  }

  /** Tries to start until it can: somebody restarts a process that ends with an error. */
  async #run(instance: Instance): Promise<void> {
    const { scheduler, options, database, generations, databaseNetwork, storeNetwork, log, bug } =
      this.#world;
    const { timing } = instance;
    const store = simulatedStore(log, storeNetwork, instance, scheduler);
    const storage = simulatedStorage(database, generations, databaseNetwork, instance, scheduler, log.id);
    const bus = simulatedBus(this.#world.carriedOut, storeNetwork, instance, scheduler);
    const note = (line: string): void => this.#world.note(`${instance.id}: ${line}`);
    const limits = {
      maxEvents: options.maxEvents,
      cachedRows: options.cachedRows,
      pendingRows: options.pendingRows,
      gatheredRows: options.gatheredRows,
    };
    // So rarely that nothing comes in time by looking now and then.
    const delays: Partial<Delays> = { beat: options.beat, lease: 4 * options.beat, idle: 30_000 };
    const failures = (): number => (scheduler.chance(options.flakiness) ? scheduler.whole(1, 2) : 0);
    for (;;) {
      this.#models = this.#world.models().map((model) => flaky(model, failures));
      try {
        this.#projections = await startProjections({
          store,
          storage,
          models: this.#models,
          instance: instance.id,
          duties: (progress) =>
            this.#world.policies.map((policy) => ({
              name: policyCheckpointName(policy),
              lead: (held, signal) => {
                const checkpoint = new LeasedCheckpoint(held, storage, progress, timing);
                return runPolicy({ policy, store, bus, checkpoint, timing, log: note, signal }).finally(() =>
                  checkpoint.close(),
                );
              },
            })),
          log: note,
          limits,
          rebuildLimits: limits,
          timing,
          // Nothing makes up for a ring that is not heard.
          delays: bug === 'deaf' ? { ...delays, idle: 1e9 } : delays,
        });
        note('is up');
        if (bug === 'credulous') believe(storage.signals, this.#projections.progress, log);
        return await this.#watch(instance, this.#projections);
      } catch (error) {
        note(`does not start: ${String(error)}`);
        await instance.wait(500);
      }
    }
  }

  /** Waits for positions, as a client does that wants to read its own writes: they are there, and stay there. */
  async #watch(instance: Instance, { progress, catalog }: Projections): Promise<void> {
    const { scheduler, database, log, judge } = this.#world;
    const told = new Map<string, Position>();
    const look = (): void => {
      for (const [name, position] of told) {
        const checkpoint = catalog.checkpointOf(name) ?? name;
        const isAt = database.positions([checkpoint]).get(checkpoint);
        if (!isAt || comparePositions(isAt, position) < 0)
          judge.violation(`${checkpoint} is said to have reached ${formatPosition(position)}, and has not`);
      }
    };
    for (;;) {
      await instance.wait(scheduler.exponential(2_000));
      look();
      const names = [...this.#models.map(checkpointName), ...this.#world.policies.map(policyCheckpointName)];
      const name = scheduler.pick(nonEmpty(names));
      const position = log.end;
      const patience = new AbortController();
      void instance.wait(2_000).then(() => patience.abort(new Error('waited long enough')));
      try {
        await progress.reached(name, position, patience.signal);
      } catch {
        continue;
      }
      told.set(name, position);
      look();
    }
  }
}

/** A planted bug: what somebody says to have written is everything that anybody here waits for. */
function believe(signals: Signals, progress: Projections['progress'], log: World['log']): void {
  signals.listen((message) => {
    const { moved } = JSON.parse(message) as { readonly moved: readonly string[] };
    for (const name of moved) progress.publish(name, log.end);
  }, new AbortController().signal);
}

function nonEmpty<T>(items: readonly T[]): readonly [T, ...T[]] {
  const [first, ...others] = items;
  if (first === undefined) throw new Error('there is nothing to choose from');
  return [first, ...others];
}
