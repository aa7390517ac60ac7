/** When what is there to do is done, and when it is left to rest: in virtual time, to the millisecond. */
import { describe, expect, test } from 'vitest';
import { comparePositions, type EventStore, type LogBatch, noStream } from '../../src/eventstore/port.ts';
import { follow, type FollowLimits, type FollowOptions } from '../../src/projections/engine/follow.ts';
import type { LineStorage } from '../../src/projections/engine/storage.ts';
import { leaseName } from '../../src/projections/engine/storage.ts';
import { defaultDelays } from '../../src/projections/engine/timing.ts';
import { Database } from '../sim/database.ts';
import { Generations } from '../sim/generations.ts';
import { Instance } from '../sim/instance.ts';
import { Log } from '../sim/log.ts';
import { Scheduler } from '../sim/scheduler.ts';
import { immediateStorage } from '../sim/storage.ts';
import { event, newEvent } from './support/events.ts';
import { tally } from './support/tally.ts';

const limits: FollowLimits = { maxEvents: 1, cachedRows: 100, pendingRows: 100, gatheredRows: 1 };
const { pace, longestPace, unfollowed, lazyCheckpoint } = defaultDelays;

/** One who follows a log, taking so many milliseconds for every batch, and for every write. */
class Follower {
  readonly scheduler = new Scheduler(1);
  /** When each batch was fetched, each with something to do was taken, each write began, and the checkpoint alone was moved. */
  readonly fetched: number[] = [];
  readonly taken: number[] = [];
  readonly written: number[] = [];
  readonly moved: number[] = [];
  /** Events taken in at a time. */
  readonly took: number[] = [];
  isFollowed = false;
  isBusy = false;
  ended: 'not yet' | 'resolved' | 'rejected' = 'not yet';
  endedAt: number | undefined;
  readonly #log = new Log('the-log', () => 0.5, 'dense');
  readonly #instance = new Instance('a', this.scheduler);
  readonly #abort = new AbortController();
  readonly #work: number;
  readonly #writing: number;
  #wake: () => void = () => undefined;

  constructor({ work = 0, writing = 0 } = {}) {
    this.#work = work;
    this.#writing = writing;
  }

  get now(): number {
    return Math.round(this.scheduler.now);
  }

  /** Each in a stream of its own: its row has to be loaded. */
  append(count = 1, type: 'StockSold' | 'StockReserved' = 'StockSold'): void {
    for (let n = 0; n < count; n++) {
      this.#log.append(`item-${this.#log.events.length}`, noStream, [newEvent(event(type))]);
    }
  }

  /** What happens at that time, in whole milliseconds. */
  at(ms: number, happens: () => void): void {
    this.scheduler.after(ms - this.scheduler.now, happens);
  }

  /** Somebody begins to wait, or ends. */
  set followed(isFollowed: boolean) {
    this.isFollowed = isFollowed;
    if (isFollowed) this.#wake();
  }

  stop(): void {
    this.#abort.abort();
  }

  async start(options: Partial<FollowOptions> & { readonly untilEnd?: boolean } = {}): Promise<void> {
    const database = new Database(() => this.scheduler.now);
    const generations = new Generations(database);
    const stored = immediateStorage(database, generations, 'the-log');
    await stored.prepare([tally]);
    await stored.beat({ instance: 'a', able: [], ttl: 3_600_000 });
    const [generation] = await stored.generations();
    const held = generation && (await stored.claim(leaseName(generation), 'a'));
    if (!generation || !held) throw new Error('there is nothing to follow with');
    const storage: LineStorage = {
      ...stored,
      load: async (...of) => {
        this.taken.push(this.now);
        await this.#instance.wait(this.#work);
        return stored.load(...of);
      },
      write: async (batch) => {
        this.written.push(this.now);
        await this.#instance.wait(this.#writing);
        return stored.write(batch);
      },
      move: (...of) => {
        this.moved.push(this.now);
        return stored.move(...of);
      },
    };
    const { untilEnd, ...others } = options;
    void follow({
      store: this.#store(),
      storage,
      model: tally,
      generation,
      held,
      limits,
      timing: this.#instance.timing,
      delays: defaultDelays,
      signal: this.#abort.signal,
      yields: () => this.isBusy,
      isWanted: () => this.isFollowed,
      isFollowed: () => this.isFollowed,
      lead: (wake) => {
        this.#wake = wake;
        return () => (this.#wake = () => undefined);
      },
      committed: () => undefined,
      took: (events) => this.took.push(events),
      ...(untilEnd ? { until: this.#log.end } : {}),
      ...others,
    })
      .then(
        () => (this.ended = 'resolved'),
        () => (this.ended = 'rejected'),
      )
      .finally(() => (this.endedAt = this.now));
    await this.scheduler.pass(0);
  }

  /** As many events at a time as are asked for, as soon as they are there. */
  #store(): EventStore {
    const log = this.#log;
    const fetched = (): unknown => this.fetched.push(this.now);
    const unasked = (): never => {
      throw new Error('not asked here');
    };
    return {
      id: log.id,
      origin: undefined,
      append: unasked,
      readStream: unasked,
      head: async () => log.end,
      close: async () => undefined,
      async *subscribe({ after, signal, maxBatch = 1 }): AsyncGenerator<LogBatch> {
        for (let through = after; ;) {
          const next = log.events.filter(({ position }) => comparePositions(position, through) > 0);
          if (signal.aborted) return;
          const events = next.slice(0, maxBatch);
          const last = events.at(-1);
          if (last) {
            through = last.position;
            fetched();
            yield { events, through, caughtUp: events.length === next.length };
          } else {
            await new Promise<void>((resolve) => {
              const unlisten = log.onAppend(() => {
                unlisten();
                resolve();
              });
              signal.addEventListener('abort', () => resolve(), { once: true });
            });
          }
        }
      },
    };
  }
}

/** At the end of its log since long ago, and with nothing to do. */
async function live(isFollowed: boolean, how: { work?: number; writing?: number } = {}): Promise<Follower> {
  const follower = new Follower(how);
  follower.isFollowed = isFollowed;
  follower.append();
  await follower.start();
  await follower.scheduler.pass(10_000);
  for (const times of [follower.taken, follower.written, follower.moved]) times.length = 0;
  return follower;
}
/** Round, and after the time that `live` takes. */
const t = 10_000;
const since = (times: readonly number[]): number[] => times.map((time) => time - t);

describe('a read model that somebody waits for or listens to', () => {
  test('takes an event in at once, and the next ones not before the pace', async () => {
    const follower = await live(true);
    for (const ms of [0, 1, 2, 3, 50]) follower.at(t + ms, () => follower.append());
    await follower.scheduler.pass(1_000);
    expect(since(follower.taken)).toEqual([0, pace, 2 * pace, 3 * pace, 50]);
    expect(since(follower.written)).toEqual([0, pace, 2 * pace, 3 * pace, 50]);
  });

  test.each([
    [40, 40],
    [400, longestPace],
  ])('the longer writes take (%i ms), the more time it leaves, up to a limit', async (writing, rest) => {
    const follower = await live(true, { writing });
    for (const ms of [0, 1, 2]) follower.at(t + ms, () => follower.append());
    await follower.scheduler.pass(5_000);
    expect(since(follower.taken)).toEqual([0, rest, 2 * rest]);
  });

  test('saves what changes nothing at once if it is wanted, and soon if not', async () => {
    const follower = await live(true);
    follower.at(t, () => follower.append(1, 'StockReserved'));
    await follower.scheduler.pass(5_000);
    expect(since(follower.moved)).toEqual([0]);

    const listened = new Follower();
    listened.isFollowed = true;
    await listened.start({ isWanted: () => false });
    listened.at(t, () => listened.append(1, 'StockReserved'));
    await listened.scheduler.pass(2 * t);
    expect(since(listened.moved)).toEqual([longestPace]);
  });
});

describe('a read model that nobody waits for', () => {
  test('leaves events alone for a moment, and then rests longer', async () => {
    const follower = await live(false);
    for (const ms of [0, 1, 2, 500]) follower.at(t + ms, () => follower.append());
    await follower.scheduler.pass(5_000);
    const next = longestPace + unfollowed;
    expect(since(follower.taken)).toEqual([
      unfollowed,
      unfollowed + next,
      unfollowed + 2 * next,
      500 + unfollowed,
    ]);
  });

  test('does not rest before it has come to the end of the log', async () => {
    const follower = new Follower({ work: 3 });
    follower.append(5);
    await follower.start();
    await follower.scheduler.pass(1_000);
    expect(follower.taken).toEqual([0, 3, 6, 9, 12]);
  });

  test('goes on at once when somebody begins to wait, whatever it rests from', async () => {
    const follower = await live(false);
    follower.at(t, () => follower.append());
    follower.at(t + 4, () => (follower.followed = true));
    follower.at(t + 5, () => (follower.isFollowed = false));
    // Rests again, and is woken again.
    follower.at(t + 20, () => follower.append());
    follower.at(t + 30, () => (follower.followed = true));
    await follower.scheduler.pass(5_000);
    expect(since(follower.taken)).toEqual([4, 30]);
  });

  test('a bell that was rung long ago ends no rest but the next', async () => {
    const follower = await live(false);
    follower.followed = true;
    follower.isFollowed = false;
    for (const ms of [100, 101]) follower.at(t + ms, () => follower.append());
    await follower.scheduler.pass(5_000);
    expect(since(follower.taken)).toEqual([100, 100 + longestPace + unfollowed]);
  });

  test('saves what changes nothing lazily, unless somebody begins to wait', async () => {
    const follower = await live(false);
    follower.at(t, () => follower.append(1, 'StockReserved'));
    follower.at(t + 5_000, () => follower.append(1, 'StockReserved'));
    follower.at(t + 5_300, () => (follower.followed = true));
    await follower.scheduler.pass(9_000);
    expect(since(follower.moved)).toEqual([unfollowed + lazyCheckpoint, 5_300]);
  });

  test('ends its rest when it is stopped, and has everything saved that it has taken in', async () => {
    const follower = await live(false);
    for (const ms of [0, 1]) follower.at(t + ms, () => follower.append());
    follower.at(t + 50, () => follower.stop());
    await follower.scheduler.pass(51);
    expect(follower.ended).toBe('resolved');
    expect(since(follower.written)).toEqual([unfollowed]);
    expect(follower.now).toBe(t + 51);
  });
});

describe('a rebuild', () => {
  test('leaves those who are served nine tenths of the time, and takes all of it when nobody is', async () => {
    const follower = new Follower({ work: 7 });
    follower.append(5);
    follower.isBusy = true;
    await follower.start({ untilEnd: true });
    follower.at(150, () => (follower.isBusy = false));
    follower.at(220, () => (follower.isBusy = true));
    await follower.scheduler.pass(1_000);
    expect(follower.taken).toEqual([0, 70, 140, 210, 217]);
    expect(follower.ended).toBe('resolved');
    expect(follower.endedAt).toBe(224);

    const alone = new Follower({ work: 7 });
    alone.append(5);
    await alone.start({ untilEnd: true });
    await alone.scheduler.pass(1_000);
    expect(alone.taken).toEqual([0, 7, 14, 21, 28]);
    expect(alone.ended).toBe('resolved');
  });

  test('has one batch lie about while it rests, and else fetches ahead', async () => {
    const follower = new Follower({ work: 7 });
    follower.append(5);
    follower.isBusy = true;
    await follower.start({ untilEnd: true });
    await follower.scheduler.pass(1_000);
    expect(follower.fetched).toEqual([0, 0, 70, 140, 210]);

    const alone = new Follower({ work: 7 });
    alone.append(5);
    await alone.start({ untilEnd: true });
    await alone.scheduler.pass(1_000);
    expect(alone.fetched).toEqual([0, 0, 0, 7, 14]);
  });

  test('writes when enough rows have changed, or after a while, and at its end, and at once while it yields', async () => {
    const gathering = { ...limits, gatheredRows: 3 };
    const follower = new Follower({ work: 7, writing: 1 });
    follower.append(5);
    await follower.start({ limits: gathering });
    await follower.scheduler.pass(5_000);
    expect(follower.written).toEqual([21, 28 + lazyCheckpoint]);
    expect(follower.moved).toEqual([]);

    const ending = new Follower({ work: 7, writing: 1 });
    ending.append(5);
    await ending.start({ limits: gathering, untilEnd: true });
    await ending.scheduler.pass(1_000);
    expect(ending.written).toEqual([21, 35]);
    expect(ending.ended).toBe('resolved');

    const stopped = new Follower({ work: 7 });
    stopped.append(2);
    await stopped.start({ limits: gathering });
    stopped.at(100, () => stopped.stop());
    await stopped.scheduler.pass(101);
    expect(stopped.written).toEqual([100]);
    expect(stopped.ended).toBe('resolved');

    const yielding = new Follower({ work: 7 });
    yielding.append(2);
    yielding.isBusy = true;
    await yielding.start({ limits: gathering, untilEnd: true });
    await yielding.scheduler.pass(1_000);
    expect(yielding.written).toEqual([7, 77]);
  });

  test('waits for no more rows than may be pending', async () => {
    const follower = new Follower({ work: 7 });
    follower.append(3);
    await follower.start({ limits: { ...limits, pendingRows: 2, gatheredRows: 100 } });
    await follower.scheduler.pass(100);
    expect(follower.written).toEqual([14]);
  });

  test('takes little at a time while somebody is served, and more when nobody is', async () => {
    const large = { ...limits, maxEvents: 2_000, cachedRows: 2_000, pendingRows: 2_000 };
    const follower = new Follower({ work: 7 });
    follower.append(2_800);
    follower.isBusy = true;
    await follower.start({ untilEnd: true, limits: large });
    follower.at(75, () => (follower.isBusy = false));
    await follower.scheduler.pass(1_000);
    expect(follower.took).toEqual([500, 500, 500, 1_300]);

    const alone = new Follower({ work: 7 });
    alone.append(2_800);
    await alone.start({ untilEnd: true, limits: large, yields: undefined });
    await alone.scheduler.pass(1_000);
    expect(alone.took).toEqual([2_000, 800]);
  });

  test('keeps a rate, where one is set, and rests no more than that', async () => {
    const follower = new Follower({ work: 7 });
    follower.append(4);
    follower.isBusy = true;
    await follower.start({ untilEnd: true, eventsPerSecond: 4 });
    await follower.scheduler.pass(5_000);
    expect(follower.taken).toEqual([0, 250, 500, 750]);
    expect(follower.ended).toBe('resolved');
    expect(follower.endedAt).toBe(757);
  });

  test('ends at once when it is to end while it rests', async () => {
    const follower = new Follower({ work: 700 });
    follower.append(5);
    follower.isBusy = true;
    await follower.start({ untilEnd: true });
    follower.at(1_000, () => follower.stop());
    await follower.scheduler.pass(1_001);
    expect(follower.taken).toEqual([0]);
    expect(follower.ended).toBe('resolved');
  });
});
