/** What goes wrong, and is put right later. */
import { leaseName } from '../../src/projections/engine/storage.ts';
import type { Process } from './cluster.ts';
import type { Mishap } from './options.ts';
import type { World } from './world.ts';

export function befall(mishap: Mishap, world: World, processes: readonly Process[]): void {
  const { scheduler, databaseNetwork } = world;
  scheduler.after(mishap.at, () => {
    switch (mishap.kind) {
      case 'crash': {
        const process = processes[mishap.place];
        process?.crash();
        scheduler.after(mishap.downFor, () => process?.start());
        return;
      }
      case 'pause': {
        const process = processes[mishap.place];
        process?.pause();
        scheduler.after(mishap.for, () => process?.resume());
        return;
      }
      case 'stop': {
        const process = processes[mishap.place];
        process?.stop(() => scheduler.after(mishap.downFor, () => process.start()));
        return;
      }
      case 'outage':
        world.note('the database is down');
        databaseNetwork.isDown = true;
        scheduler.after(mishap.for, () => (databaseNetwork.isDown = false));
        return;
      case 'theft':
        return steal(world);
      case 'rebuild':
        return rebuild(mishap, world);
    }
  });
}

/** Dies, or stands still for a while, at this very moment. */
export function strike(id: string, { scheduler, options }: World, processes: readonly Process[]): void {
  const process = processes.find((one) => one.id === id);
  if (!process) return;
  const time = scheduler.between(0, 10 * options.beat);
  if (scheduler.chance(0.5)) {
    process.crash();
    scheduler.after(time, () => process.start());
  } else {
    process.pause();
    scheduler.after(time, () => process.resume());
  }
}

function steal({ scheduler, database, note }: World): void {
  const names = [...database.checkpoints.keys()];
  const name = names[Math.floor(scheduler.random() * names.length)];
  if (name === undefined) return;
  note(`${name} is stolen`);
  database.steal(name);
}

function rebuild(mishap: Extract<Mishap, { kind: 'rebuild' }>, world: World): void {
  const { scheduler, generations, database } = world;
  const models = world.models();
  const model = models[Math.floor(scheduler.random() * models.length)];
  // As operators are told: one at a time, and not before there is something to rebuild.
  const isReady = database.existing().every(({ state }) => state !== 'building');
  if (
    !model ||
    !isReady ||
    !database.existing().some((one) => one.model === model.name && one.version === model.version)
  )
    return;
  const generation = generations.rebuild(model, mishap.dryRun);
  const wish = (kind: 'run' | 'pause' | 'cancel'): void => {
    world.note(`${leaseName(generation)}: ${kind}`);
    generations.wish(generation, kind);
  };
  wish('run');
  if (mishap.pausedAfter !== undefined) {
    scheduler.after(mishap.pausedAfter, () => wish('pause'));
    scheduler.after(mishap.pausedAfter + 3_000, () => wish('run'));
  }
  if (mishap.cancelledAfter !== undefined) scheduler.after(mishap.cancelledAfter, () => wish('cancel'));
}
