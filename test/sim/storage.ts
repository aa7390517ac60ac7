/**
 * ProjectionStorage as one instance sees it: between it and the database lies a network. A call gets there late, or
 * not at all; its answer comes late, or not at all, whether or not it has happened; and it may happen after the one
 * who asked was told that it had failed, is paused, or is dead.
 */
import type { ProjectionStorage, Signals } from '../../src/projections/engine/storage.ts';
import type { Database } from './database.ts';
import type { Generations } from './generations.ts';
import type { Instance } from './instance.ts';
import type { Scheduler } from './scheduler.ts';

/** How often what goes wrong, in [0, 1], and how long things take, in milliseconds. */
export interface StorageFaults {
  readonly latency: number;
  /** Fails before it has happened. */
  readonly lostRequests: number;
  /** Happens, but is said to have failed. */
  readonly lostAnswers: number;
  /** Is said to have failed, and happens later. */
  readonly lateEffects: number;
  /** Takes `stall` longer. */
  readonly stalls: number;
  readonly stall: number;
  /** Whoever asked for something that happens seldom is struck at the moment it happens, or would have happened. */
  readonly strikes: number;
}

/** The network between instances and the database: `faults` may change at any time, and so may whether it is there. */
export interface DatabaseNetwork {
  faults: StorageFaults;
  isDown: boolean;
  /** Has something befall an instance. */
  strike(instance: string): void;
}

export const noStorageFaults = { lostRequests: 0, lostAnswers: 0, lateEffects: 0, stalls: 0, strikes: 0 };

class Unreachable extends Error {
  override readonly name = 'Unreachable';
}

/** How a call gets to the database. */
type Call = <R>(happen: () => R) => Promise<R>;

export function simulatedStorage(
  database: Database,
  generations: Generations,
  network: DatabaseNetwork,
  instance: Instance,
  scheduler: Scheduler,
  log: string,
): ProjectionStorage {
  const call: Call = (happen) =>
    new Promise((resolve, reject) => {
      const { latency, lostRequests, lostAnswers, lateEffects, stalls, stall } = network.faults;
      const delay = (): number => scheduler.exponential(latency) + (scheduler.chance(stalls) ? stall : 0);
      const answer = (say: () => void): void => void scheduler.after(delay(), say, instance);
      const fail = (why: string): void => answer(() => reject(new Unreachable(why)));
      const carryOut = (): void => {
        if (network.isDown) return fail('the database is down');
        const outcome = outcomeOf(happen);
        if (scheduler.chance(lostAnswers)) fail('the answer was lost');
        else answer(() => ('error' in outcome ? reject(outcome.error) : resolve(outcome.result)));
      };
      if (scheduler.chance(lostRequests)) fail('the request was lost');
      else if (scheduler.chance(lateEffects)) {
        fail('the connection was lost');
        scheduler.after(delay() + stall * scheduler.random(), () => {
          // Nobody is there to hear of it.
          if (!network.isDown) outcomeOf(happen);
        });
      } else scheduler.after(delay(), carryOut);
    });
  const seldom: Call = (happen) =>
    call(() => {
      const isStruck = scheduler.chance(network.faults.strikes);
      if (isStruck) network.strike(instance.id);
      if (isStruck && scheduler.chance(0.3)) throw new Unreachable('the instance was struck');
      return happen();
    });
  const later = (rest: () => void): void => void scheduler.after(scheduler.exponential(5), rest, instance);
  const signals: Signals = {
    tell: (message) => call(() => database.tell(message)),
    listen(heard, signal) {
      // What is told gets lost as answers do, and comes late, in any order.
      const listener = (message: string): void => {
        const { latency, lostAnswers } = network.faults;
        if (network.isDown || scheduler.chance(lostAnswers)) return;
        scheduler.after(scheduler.exponential(latency), () => heard(message), instance);
      };
      database.listeners.add(listener);
      signal.addEventListener('abort', () => database.listeners.delete(listener));
    },
  };
  return storageOf(database, generations, log, { call, seldom }, instance.id, later, signals);
}

/** Without a network. */
export const immediateStorage = (
  database: Database,
  generations: Generations,
  log: string,
): ProjectionStorage =>
  storageOf(database, generations, log, { call: atOnce, seldom: atOnce }, 'somebody', (rest) => rest(), {
    tell: async (message) => database.tell(message),
    listen(heard, signal) {
      database.listeners.add(heard);
      signal.addEventListener('abort', () => database.listeners.delete(heard));
    },
  });

const atOnce: Call = async (happen) => happen();

type Outcome<R> = { readonly result: R } | { readonly error: Error };

function outcomeOf<R>(happen: () => R): Outcome<R> {
  try {
    return { result: happen() };
  } catch (error) {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }
}

function storageOf(
  database: Database,
  generations: Generations,
  log: string,
  { call, seldom }: { readonly call: Call; readonly seldom: Call },
  writer: string,
  later: (rest: () => void) => void,
  signals: Signals,
): ProjectionStorage {
  return {
    signals,
    prepare: (models) =>
      seldom(() => {
        database.follow(log);
        generations.prepare(models);
      }),
    load: (_, generation, keys) => call(() => database.load(generation, keys)),
    parkedScopes: (generation) => seldom(() => database.parkedScopes(generation)),
    write: (batch) => call(() => database.write(writer, batch, later)),
    move: (held, from, to) => call(() => database.move(writer, held, from, to)),
    beat: (beat) => call(() => database.beat(beat)),
    claim: (name, instance) => seldom(() => database.claim(name, instance, log)),
    release: (held, instance) => seldom(() => database.release(held, instance)),
    leave: (instance) => seldom(() => database.leave(instance)),
    seek: (held) => seldom(() => database.seek(held)),
    fail: (held, failure) => seldom(() => database.fail(held, failure)),
    setStage: (held, generation, stage) => seldom(() => generations.setStage(held, generation, stage)),
    noteProgress: () => call(() => undefined),
    index: () => seldom(() => undefined),
    compare: (model, generation) => seldom(() => generations.compare(model, generation)),
    freeze: (held, generation) => seldom(() => generations.freeze(held, generation)),
    swap: (held, generation) => seldom(() => generations.swap(held, generation)),
    drop: (held, generation) => seldom(() => generations.drop(held, generation)),
    generations: () => call(() => database.existing()),
    positions: (names) => call(() => database.positions(names)),
  };
}
