/** The change feed by itself: whoever reports a change, in whatever order, all who watch get what is true. */
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { WatchCounts } from '../../src/api/watch/counts.ts';
import { ChangeEncoder } from '../../src/api/watch/change-encoder.ts';
import { ChangeFeed } from '../../src/api/watch/change-feed.ts';
import { OtherIncarnation, type Subscription } from '../../src/api/watch/watched.ts';
import { balanceOf } from '../../src/api/row-messages.ts';
import { comparePositions, logStart, type Position } from '../../src/eventstore/port.ts';
import { Balance, WatchBalancesResponse } from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import type { Written } from '../../src/projections/engine/written.ts';
import { balance } from '../../src/projections/index.ts';
import { balanceRow } from './support/requests.ts';
import { until } from './support/server.ts';
import { at, FakeTables } from './support/tables.ts';

const name = 'projection:balance';

/** Lets everything happen that is not waiting for anything. */
async function settled(): Promise<void> {
  for (let n = 0; n < 10; n++) await new Promise((resolve) => setImmediate(resolve));
}

/** A table whose rows say when they were changed, and what was true at each position. */
class House {
  readonly tables = new FakeTables();
  readonly log: string[] = [];
  readonly feed: ChangeFeed<typeof balance.table.columns>;
  /** What the clock of the feed shows, in milliseconds. */
  now = 0;
  position = 10;
  incarnation = 1;
  /** By position: of each member, when it was changed last. */
  readonly history = new Map<bigint, ReadonlyMap<string, bigint>>();
  /** What was written and nobody was told of. */
  untold: Written[] = [];
  #release = (): void => undefined;

  constructor(members: readonly string[] = ['m0', 'm1', 'm2']) {
    const encoder = new ChangeEncoder<typeof balance.table.columns>({
      encode: (row) => Balance.encode(balanceOf(row)).finish(),
    });
    const { tables } = this;
    this.feed = new ChangeFeed(balance, encoder, {
      reader: tables,
      progress: tables.progress,
      head: () => tables.progress.through(name),
      clock: () => new Date(this.now),
      counts: new WatchCounts(),
      lagMs: 3_600_000,
      log: (line) => this.log.push(line),
    });
    tables.tellsWritten = () => true;
    this.write(members);
    this.untold = [];
  }

  get truth(): ReadonlyMap<string, bigint> {
    return this.history.get(BigInt(this.position)) ?? new Map<string, bigint>();
  }

  /** A commit, of which nobody is told yet. */
  write(members: readonly string[]): Written {
    const after = at(this.position++);
    const commit = BigInt(this.position);
    const rows = members.toSorted().map((member) => balanceRow(member, { available_minor: commit }));
    this.history.set(
      commit,
      new Map([...this.truthBefore(), ...members.map((one) => [one, commit] as const)]),
    );
    this.tables.deaf = true;
    this.tables.commit(balance, at(this.position), rows);
    this.tables.deaf = false;
    const written = {
      after,
      through: at(this.position),
      incarnation: String(this.incarnation),
      rows: rows.map((row) => ({ row, commit })),
    };
    this.untold.push(written);
    return written;
  }

  truthBefore(): ReadonlyMap<string, bigint> {
    return this.history.get(BigInt(this.position - 1)) ?? new Map<string, bigint>();
  }

  /** The same table made anew: of what was written before, nobody is told. */
  refold(members: readonly string[]): void {
    this.position++;
    this.incarnation++;
    const commit = BigInt(this.position);
    this.history.set(commit, new Map(members.map((member) => [member, commit])));
    const rows = members.map((member) => balanceRow(member, { available_minor: commit }));
    this.tables.deaf = true;
    this.tables.refold(balance, at(this.position), rows);
    this.tables.deaf = false;
  }

  /** Tells those who listen what was written, or only that something was. */
  tell(written?: readonly Written[]): void {
    this.untold = [];
    this.tables.advance(name, at(this.position), written);
  }

  /** A commit that those who listen are told of. */
  commit(...members: string[]): void {
    this.tell([this.write(members)]);
  }

  /** The next look at the table takes until `release`. */
  hold(): void {
    this.release();
    this.tables.held = new Promise((resolve) => (this.#release = resolve));
  }

  release(): void {
    this.tables.held = undefined;
    this.#release();
  }
}

interface ReaderOptions {
  readonly from?: Position;
  readonly members?: readonly string[];
  readonly currency?: string;
  readonly awaited?: Position;
  readonly scope?: string;
  readonly incarnation?: number;
}

/** Who follows the feed, as a watch does, from what was true at a position. */
class Reader {
  readonly subscription: Subscription;
  readonly shown: Map<string, bigint>;
  readonly faults: string[] = [];
  /** Events as they came, and what they told. */
  readonly events: Uint8Array[] = [];
  readonly told: string[][] = [];
  through: Position;
  wakes = 0;
  reset = false;
  isEnded = false;
  readonly #house: House;
  readonly #sees: (member: string) => boolean;
  #changed = true;
  #isPaused = false;
  #isTaking = false;

  constructor(house: House, options: ReaderOptions = {}) {
    const {
      members,
      from = at(house.position),
      awaited,
      currency,
      incarnation = house.incarnation,
    } = options;
    this.#house = house;
    this.#sees = (member) => members?.includes(member) ?? true;
    this.through = from;
    this.shown = this.#true(from);
    this.subscription = house.feed.subscribe({
      from: { position: from, incarnation: String(incarnation) },
      awaited,
      filter: { ...(members ? { member: { in: members } } : {}), ...(currency ? { currency } : {}) },
      sees: () => true,
      scope: options.scope ?? JSON.stringify(members ?? []),
      wake: () => {
        this.wakes++;
        this.#changed = true;
        this.#go();
      },
    });
    this.#go();
  }

  #true({ commit }: Position): Map<string, bigint> {
    return new Map([...(this.#house.history.get(commit) ?? [])].filter(([member]) => this.#sees(member)));
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#go();
  }

  poke(ms = 0): void {
    this.subscription.poke(ms);
    this.#changed = true;
    this.#go();
  }

  end(): void {
    this.isEnded = true;
    this.subscription.end();
  }

  #go(): void {
    if (this.#isTaking) return;
    this.#isTaking = true;
    void this.#takeAll().finally(() => (this.#isTaking = false));
  }

  async #takeAll(): Promise<void> {
    // Not within the call that wakes it.
    await Promise.resolve();
    while (this.#changed && !this.#isPaused && !this.isEnded && !this.reset) {
      this.#changed = false;
      try {
        const { events, through, more } = await this.subscription.take();
        this.#takeIn(events, through);
        if (more) this.#changed = true;
      } catch (error) {
        if (error instanceof OtherIncarnation) this.reset = true;
        else this.faults.push(String(error));
      }
    }
  }

  #takeIn(events: readonly Uint8Array[], through: Position | undefined): void {
    for (const bytes of events) {
      this.events.push(bytes);
      const { event } = WatchBalancesResponse.decode(bytes);
      if (event?.$case !== 'changes') throw new Error('the feed tells of changes');
      this.told.push(event.value.balances.map(({ member }) => member));
      for (const { member, availableMinor } of event.value.balances) {
        if (!this.#sees(member)) this.faults.push(`${member} is of no interest`);
        if (availableMinor < (this.shown.get(member) ?? 0n)) this.faults.push(`${member} goes back`);
        this.shown.set(member, availableMinor);
      }
    }
    if (!through) return;
    if (comparePositions(through, this.through) < 0) this.faults.push('the position goes back');
    this.through = through;
    const isTrue = (map: ReadonlyMap<string, bigint>) =>
      map.size === this.shown.size && [...map].every(([member, when]) => this.shown.get(member) === when);
    if (!isTrue(this.#true(through))) this.faults.push(`not what was true at ${through.commit}`);
  }
}

/** Follows in memory from now on. */
async function follower(house: House, options: ReaderOptions = {}): Promise<Reader> {
  const reader = new Reader(house, options);
  await settled();
  return reader;
}

describe('what its writer tells', () => {
  test('is not read again, and is there before anybody could have read it', async () => {
    const house = new House();
    const reader = await follower(house);
    const before = house.tables.changesCalls;
    house.commit('m1');
    house.commit('m0', 'm3');
    // Told together, as what is written in one turn.
    house.write(['m1']);
    house.write(['m2']);
    house.tell(house.untold);
    await settled();
    expect(reader.shown).toEqual(house.truth);
    expect(reader.through).toEqual(at(house.position));
    expect(house.tables.changesCalls).toBe(before);
    expect(reader.faults).toEqual([]);
    // Nor is it looked at by the next who finds it silent.
    house.now = 1_000;
    house.commit('m1');
    await settled();
    house.now = 1_500;
    reader.poke(501);
    await settled();
    expect(house.tables.changesCalls).toBe(before);
    reader.poke(500);
    await settled();
    expect(house.tables.changesCalls).toBe(before + 1);
  });

  test.each<[string, (written: readonly Written[]) => readonly Written[] | undefined]>([
    ['begins behind what the feed has', ([, second, third]) => (second && third ? [second, third] : [])],
    ['has a gap', ([first, , third]) => (first && third ? [first, third] : [])],
    ['is of another making', (all) => all.map((one) => ({ ...one, incarnation: '7', rows: [] }))],
    [
      'becomes one of another making',
      (all) => all.map((one, n) => (n === 0 ? one : { ...one, incarnation: '7', rows: [] })),
    ],
    ['is not known', () => undefined],
  ])('is read when it %s', async (_, tells) => {
    const house = new House();
    const reader = await follower(house);
    house.write(['m0']);
    house.write(['m1', 'm3']);
    house.write(['m0']);
    house.tell(tells(house.untold));
    await settled();
    expect(reader.shown).toEqual(house.truth);
    expect(reader.through).toEqual(at(house.position));
    expect(reader.faults).toEqual([]);
  });

  test('while the table is being read does not come twice, nor before what came earlier', async () => {
    const house = new House();
    const reader = await follower(house);
    const first = house.write(['m0']);
    // The look has seen the first already, and says so only after that and the next were told.
    house.hold();
    reader.poke();
    await settled();
    house.tell([first]);
    house.commit('m0', 'm1');
    await settled();
    house.release();
    await settled();
    expect(reader.shown).toEqual(house.truth);
    expect(reader.faults).toEqual([]);
    house.commit('m2');
    await settled();
    expect(reader.shown).toEqual(house.truth);
    expect(reader.faults).toEqual([]);
  });
});

describe('who follows', () => {
  test('is woken by what it watches and by nothing else, and is as far as the feed all the same', async () => {
    const house = new House();
    const reader = await follower(house, { members: ['m1'] });
    // All there is is in EUR.
    const other = await follower(house, { members: ['m0'], currency: 'GBP', from: logStart });
    other.poke(Infinity);
    await settled();
    const [before, others] = [reader.wakes, other.wakes];
    house.commit('m0');
    await settled();
    expect([reader.wakes, other.wakes]).toEqual([before, others]);
    reader.poke(Infinity);
    await settled();
    expect(reader.through).toEqual(at(house.position));
    house.commit('m0', 'm1');
    await settled();
    expect(reader.wakes).toBe(before + 1);
    expect(reader.told).toEqual([['m1']]);
  });

  test('gets what it did not take meanwhile once, each row in its last state', async () => {
    const house = new House();
    const reader = await follower(house);
    const woken = reader.wakes;
    reader.pause();
    for (const member of ['m0', 'm1', 'm0', 'm2']) house.commit(member);
    await settled();
    expect(reader.wakes).toBe(woken + 1);
    const before = house.tables.changesCalls;
    reader.resume();
    await settled();
    reader.poke(Infinity);
    await settled();
    // In order of their last change.
    expect(reader.told).toEqual([['m1', 'm0', 'm2']]);
    expect(reader.shown).toEqual(house.truth);
    expect(house.tables.changesCalls).toBe(before);
  });

  test('gets the same bytes as all who watch the same', async () => {
    const house = new House();
    const [one, two, other] = [
      await follower(house),
      await follower(house),
      await follower(house, { members: ['m0', 'm1'] }),
    ];
    house.commit('m0', 'm2');
    await settled();
    expect(one.events).toHaveLength(1);
    expect(two.events[0]).toBe(one.events[0]);
    expect(other.told).toEqual([['m0']]);
    two.end();
    house.commit('m1', 'm2');
    await settled();
    expect(one.told).toEqual([
      ['m0', 'm2'],
      ['m1', 'm2'],
    ]);
  });

  test('is ahead of the feed with its snapshot, and gets only what is newer', async () => {
    const house = new House();
    const first = await follower(house);
    house.write(['m0']);
    house.write(['m1']);
    const late = await follower(house);
    // What the feed reads now, `late` has.
    const before = late.wakes;
    house.tell();
    await settled();
    expect(first.shown).toEqual(house.truth);
    expect(late.wakes).toBe(before);
    house.write(['m0']);
    const later = await follower(house);
    house.write(['m2']);
    house.tell();
    await settled();
    expect([late.told, later.told]).toEqual([[['m0', 'm2']], [['m2']]]);
    expect([...first.faults, ...late.faults, ...later.faults]).toEqual([]);
  });

  test.each([
    ['many commits', 300, 1],
    ['many rows', 3, 2_000],
    ['commits of more rows than are kept', 1, 6_000],
  ])('reads the table when %s have left the memory, and follows again then', async (_, commits, rows) => {
    const house = new House();
    const [reader, other] = [await follower(house), await follower(house)];
    house.commit('m2');
    await settled();
    reader.pause();
    // Missed before all that.
    house.commit('m0');
    await settled();
    const spy = vi.spyOn(house.tables, 'changes');
    for (let n = 0; n < commits; n++) {
      house.commit(...Array.from({ length: rows }, (__, m) => `r${(m + n * 7) % 5_999}`));
      await settled();
    }
    await until(() => other.shown.size === house.truth.size);
    const before = spy.mock.calls.length;
    reader.resume();
    await until(() => reader.shown.size === house.truth.size);
    await settled();
    expect(spy.mock.calls.length).toBeGreaterThan(before);
    expect(reader.shown).toEqual(house.truth);
    // What it had, it does not get again.
    expect(reader.told.slice(1).flat()).not.toContain('m2');
    const followed = spy.mock.calls.length;
    reader.pause();
    house.commit('m1');
    house.commit('m2');
    await settled();
    reader.resume();
    await settled();
    expect([reader.shown, other.shown]).toEqual([house.truth, house.truth]);
    expect(spy.mock.calls.length).toBe(followed);
    expect([...reader.faults, ...other.faults]).toEqual([]);
  });

  test('is sent to the table by a flood, for what it has not got', async () => {
    const house = new House();
    await follower(house);
    house.write(['m0']);
    const late = await follower(house);
    const read = vi.spyOn(house.tables, 'changes');
    house.write(Array.from({ length: 6_000 }, (_, n) => `r${n}`));
    house.tell();
    await until(() => late.shown.size === house.truth.size);
    expect(late.told.flat()).not.toContain('m0');
    // Nor does the feed keep what is too much: it is read in small pieces, for each who wants it.
    expect(read.mock.calls.filter(([, , , limit]) => limit === 256).length).toBeGreaterThan(20);
    expect(late.faults).toEqual([]);
  });

  test('does not find that looks at a table where nothing happened have driven it out of memory', async () => {
    const house = new House();
    const [reader, other] = [await follower(house), await follower(house)];
    reader.pause();
    house.commit('m0');
    house.commit('m1');
    for (let n = 0; n < 300; n++) {
      other.poke();
      await settled();
    }
    const before = house.tables.changesCalls;
    reader.resume();
    await settled();
    expect(reader.told).toEqual([['m0', 'm1']]);
    expect(house.tables.changesCalls).toBe(before);
  });

  test('hears that the table was made anew, whether it waits, reads or has just come', async () => {
    const house = new House();
    const [waiting, paused] = [await follower(house), await follower(house)];
    paused.pause();
    house.commit('m0');
    await settled();
    house.refold(['m1']);
    const stale = await follower(house, { incarnation: 1 });
    house.tell();
    await settled();
    paused.resume();
    await settled();
    expect([waiting.reset, paused.reset, stale.reset]).toEqual([true, true, true]);
    for (const one of [waiting, paused, stale]) one.end();
    const fresh = await follower(house);
    house.commit('m2');
    await settled();
    expect(fresh.shown).toEqual(house.truth);
  });
});

test('hears so also when the table made anew is not as far, and goes on before it looks', async () => {
  const house = new House();
  const [reader, other] = [await follower(house), await follower(house)];
  reader.pause();
  other.pause();
  house.tables.refold(balance, at(5), [balanceRow('m7')]);
  await settled();
  for (const position of [20, 30]) house.tables.commit(balance, at(position), [balanceRow('m8')]);
  await settled();
  reader.resume();
  await settled();
  expect([reader.reset, reader.told]).toEqual([true, []]);
});

describe('who comes', () => {
  test('between two pages of one commit does not lose the second', async () => {
    const house = new House(Array.from({ length: 600 }, (_, n) => `m${n}`));
    await follower(house);
    const late = await follower(house, { from: logStart });
    expect(late.told.map(({ length }) => length)).toEqual([256, 256, 88]);
    expect(late.shown).toEqual(house.truth);
    expect(late.faults).toEqual([]);
  });

  test('when nobody was there gets at once what was written meanwhile', async () => {
    const house = new House();
    const first = await follower(house);
    first.end();
    expect(house.tables.listenerCount(name)).toBe(0);
    house.write(['m0']);
    const second = await follower(house, { from: at(house.position - 1) });
    expect(second.shown).toEqual(house.truth);
    expect(second.through).toEqual(at(house.position));
  });

  test('when all left while the table was being read, too', async () => {
    const house = new House();
    const first = await follower(house);
    house.hold();
    house.write(['m0']);
    house.tell();
    await settled();
    first.end();
    house.release();
    await settled();
    house.write(['m1']);
    const second = await follower(house, { from: at(house.position - 2) });
    expect(second.shown).toEqual(house.truth);
  });

  test('and goes is not woken any more, whatever it was doing, and the last one leaves nothing running', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
    try {
      const house = new House();
      const [stays, follows] = [await follower(house), await follower(house)];
      const [named, reads] = [await follower(house, { members: ['m0'] }), new Reader(house)];
      const gone = [follows, named, reads];
      for (const one of gone) one.end();
      const before = gone.map(({ wakes }) => wakes);
      house.commit('m0');
      await settled();
      expect(stays.shown).toEqual(house.truth);
      expect(gone.map(({ wakes }) => wakes)).toEqual(before);
      // Waiting to read again what it could not read.
      house.tables.failure = new Error('no database');
      house.tell();
      await settled();
      expect(vi.getTimerCount()).toBe(2);
      stays.end();
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  test('and waits for a position is told when it is there, and is not when it has gone', async () => {
    const house = new House();
    const options = { members: ['m9'], awaited: at(house.position + 2) };
    const [reader, gone] = [await follower(house, options), await follower(house, options)];
    gone.end();
    const before = [reader.wakes, gone.wakes];
    house.commit('m0');
    await settled();
    expect([reader.wakes, gone.wakes]).toEqual(before);
    house.commit('m0');
    await settled();
    expect([reader.wakes, gone.wakes]).toEqual([(before[0] ?? 0) + 1, before[1]]);
    expect(reader.through).toEqual(options.awaited);
    house.commit('m0');
    await settled();
    expect([reader.wakes, gone.wakes]).toEqual([(before[0] ?? 0) + 1, before[1]]);
  });
});

test('what could not be read is read later, without anybody asking', async () => {
  const house = new House();
  const reader = await follower(house);
  house.tables.failure = new Error('no database');
  house.write(['m0']);
  house.tell();
  await settled();
  expect(house.log).toEqual([expect.stringContaining('no database')]);
  house.tables.failure = undefined;
  await until(() => reader.shown.get('m0') === BigInt(house.position));
  expect(reader.faults).toEqual([]);
});

test('whatever happens, all who follow have at each position what was true there', async () => {
  const member = fc.constantFrom('m0', 'm1', 'm2', 'm3');
  const reader = fc.integer({ min: 0, max: 3 });
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('write' as const),
        members: fc.uniqueArray(member, { maxLength: 3 }),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('tell' as const),
        // Mostly all that was written; sometimes some of it, or only that something was.
        first: fc.constantFrom(0, 0, 0, 0, 1),
        isKnown: fc.constantFrom(true, true, true, false),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('hold' as const, 'release' as const) }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('turn' as const) }) },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constantFrom('pause' as const, 'resume' as const, 'poke' as const, 'replace' as const),
        reader,
        back: fc.integer({ min: 0, max: 3 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('refold' as const),
        members: fc.uniqueArray(member, { maxLength: 3 }),
      }),
    },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
      const house = new House();
      const views = [{}, {}, { members: ['m0', 'm1'] }, { members: ['m3'] }];
      let firstPosition = house.position;
      const readers = views.map((view) => new Reader(house, view));
      const replace = (n: number, back: number): void => {
        readers[n]?.end();
        const from = at(Math.max(firstPosition, house.position - back));
        readers[n] = new Reader(house, { ...views[n], from });
      };
      const faults: string[] = [];
      const collect = (): void => {
        for (const one of readers) faults.push(...one.faults.splice(0));
      };
      for (const step of steps) {
        if (step.kind === 'write') house.write(step.members);
        if (step.kind === 'tell') house.tell(step.isKnown ? house.untold.slice(step.first) : undefined);
        if (step.kind === 'hold') house.hold();
        if (step.kind === 'release') house.release();
        if (step.kind === 'turn') await settled();
        if (step.kind === 'pause') readers[step.reader]?.pause();
        if (step.kind === 'resume') readers[step.reader]?.resume();
        if (step.kind === 'poke') readers[step.reader]?.poke();
        if (step.kind === 'replace') {
          collect();
          replace(step.reader, step.back);
        }
        if (step.kind === 'refold') {
          house.refold(step.members);
          firstPosition = house.position;
        }
      }
      house.release();
      await settled();
      for (const one of readers) one.resume();
      house.tell();
      await settled();
      collect();
      expect(faults).toEqual([]);
      for (const [n, one] of readers.entries()) {
        if (one.reset) continue;
        const wanted = views[n]?.members;
        const truth = [...house.truth].filter(([member]) => wanted?.includes(member) ?? true);
        expect([n, one.shown]).toEqual([n, new Map(truth)]);
      }
      for (const one of readers) one.end();
      expect(house.tables.listenerCount(name)).toBe(0);
    }),
    { numRuns: 300 },
  );
});
