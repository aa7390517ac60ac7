/** What a seed stands for. All that is decided beforehand is here, and printed when a run fails. */
import type { DatabaseBug } from './database.ts';
import type { Numbering } from './log.ts';
import type { Scheduler } from './scheduler.ts';
import type { StorageFaults } from './storage.ts';
import type { StoreFaults } from './store.ts';

/** What befalls an instance, by its place in the row. */
export type Mishap =
  /** Its memory is gone; started again later. */
  | { readonly kind: 'crash'; readonly at: number; readonly place: number; readonly downFor: number }
  /** It stands still, and does not know. */
  | { readonly kind: 'pause'; readonly at: number; readonly place: number; readonly for: number }
  /** It is stopped in good order, and started again. */
  | { readonly kind: 'stop'; readonly at: number; readonly place: number; readonly downFor: number }
  /** Somebody unknown claims a checkpoint, and is not heard of again. */
  | { readonly kind: 'theft'; readonly at: number }
  /** Nobody reaches the database. */
  | { readonly kind: 'outage'; readonly at: number; readonly for: number }
  /** An operator asks for a rebuild, and may change their mind. */
  | {
      readonly kind: 'rebuild';
      readonly at: number;
      readonly dryRun: boolean;
      readonly pausedAfter: number | undefined;
      readonly cancelledAfter: number | undefined;
    };

export interface RunOptions {
  readonly seed: number;
  readonly instances: number;
  /** How fast the clock of the instance in each place goes. */
  readonly paces: readonly number[];
  readonly models: readonly string[];
  /** Of events whose fold fails once or twice. */
  readonly flakiness: number;
  readonly policies: boolean;
  /** From when on processes that are started know the next version of every read model; undefined: never. */
  readonly upgrade: number | undefined;
  readonly events: number;
  /** Milliseconds in which things go wrong; then no more. */
  readonly turmoil: number;
  readonly numbering: Numbering;
  readonly storage: StorageFaults;
  readonly store: StoreFaults;
  readonly poll: number;
  readonly largestBatch: number;
  readonly maxEvents: number;
  readonly cachedRows: number;
  readonly pendingRows: number;
  readonly gatheredRows: number;
  readonly beat: number;
  readonly mishaps: readonly Mishap[];
}

/** A mistake that is put in on purpose, to see that it is found. */
export type PlantedBug =
  | DatabaseBug
  /** Code that does not hear what should end its waiting. */
  | 'deaf'
  /** Whoever is told that there is something to see takes it for what they wait for, without looking. */
  | 'credulous';

/** Some of several, at least one. */
const someOf = (scheduler: Scheduler, names: readonly string[]): string[] => {
  const some = names.filter(() => scheduler.chance(0.5));
  return some.length > 0 ? some : [scheduler.pick(['counter', 'sums'])];
};

/** Most runs have little of one kind of trouble, some much. */
const rate = (scheduler: Scheduler, highest: number): number =>
  scheduler.chance(0.4) ? 0 : highest * scheduler.random() ** 2;

export function expand(seed: number, scheduler: Scheduler, names: readonly string[]): RunOptions {
  const instances = scheduler.whole(1, 3);
  const turmoil = scheduler.between(5_000, 25_000);
  const beat = scheduler.pick([200, 500, 1_000]);
  const at = (): number => scheduler.between(0, turmoil);
  const place = (): number => scheduler.whole(0, instances - 1);
  const perhaps = (probability: number, highest: number): number | undefined =>
    scheduler.chance(probability) ? scheduler.between(0, highest) : undefined;
  const several = (most: number, make: () => Mishap): Mishap[] =>
    Array.from({ length: scheduler.chance(0.3) ? 0 : scheduler.whole(0, most) }, make);

  return {
    seed,
    instances,
    paces: Array.from({ length: instances }, () => scheduler.pick([1, scheduler.between(0.8, 1.25)])),
    models: someOf(scheduler, names),
    flakiness: rate(scheduler, 0.1),
    policies: scheduler.chance(0.4),
    upgrade: perhaps(0.25, turmoil),
    events: scheduler.whole(10, 250),
    turmoil,
    numbering: scheduler.pick(['dense', 'bytes']),
    storage: {
      latency: scheduler.pick([0.5, 3, 30]),
      lostRequests: rate(scheduler, 0.2),
      lostAnswers: rate(scheduler, 0.2),
      lateEffects: rate(scheduler, 0.1),
      stalls: rate(scheduler, 0.1),
      stall: scheduler.pick([50, 1_000, 10_000]),
      strikes: rate(scheduler, 0.2),
    },
    store: {
      latency: scheduler.pick([0.5, 5, 50]),
      stalls: rate(scheduler, 0.1),
      stall: scheduler.pick([100, 2_000]),
      ends: rate(scheduler, 0.1),
      lostWakeups: rate(scheduler, 1),
      failures: rate(scheduler, 0.2),
    },
    poll: 500,
    largestBatch: scheduler.pick([1, 5, 50, 500]),
    maxEvents: scheduler.pick([3, 20, 2_000]),
    cachedRows: scheduler.pick([2, 10, 1_000]),
    pendingRows: scheduler.pick([1, 5, 1_000]),
    gatheredRows: scheduler.pick([1, 4, 100]),
    beat,
    mishaps: [
      ...several(4, () => ({
        kind: 'crash',
        at: at(),
        place: place(),
        downFor: scheduler.between(0, 6 * beat),
      })),
      ...several(4, () => ({
        kind: 'pause',
        at: at(),
        place: place(),
        for: scheduler.between(0, 10 * beat),
      })),
      ...several(2, () => ({
        kind: 'stop',
        at: at(),
        place: place(),
        downFor: scheduler.between(0, 6 * beat),
      })),
      ...several(3, () => ({ kind: 'theft', at: at() })),
      ...several(2, () => ({ kind: 'outage', at: at(), for: scheduler.between(0, 5_000) })),
      ...several(3, () => ({
        kind: 'rebuild',
        at: at(),
        dryRun: scheduler.chance(0.2),
        pausedAfter: perhaps(0.3, 3_000),
        cancelledAfter: perhaps(0.3, 3_000),
      })),
    ].toSorted((a, b) => a.at - b.at),
  };
}
