/** The ring of recent events, against an array that holds them all. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RecentEvents } from '../../src/eventstore/eventstoredb/recent-events.ts';
import { comparePositions, type Position, type RecordedEvent } from '../../src/eventstore/port.ts';
import { newEvent } from './samples.ts';

const at = (n: number): Position => ({ commit: BigInt(n), prepare: BigInt(n) });

const eventAt = (n: number, length = 1): RecordedEvent => ({
  ...newEvent({ data: 'x'.repeat(length), metadata: '' }),
  stream: 's',
  revision: n,
  position: at(n),
  recordedAt: new Date(0),
});

const numbers = (events: readonly RecordedEvent[]): number[] => events.map(({ revision }) => revision);

/** Everything is kept; what is dropped is told by where the ring begins. */
class Naive {
  readonly #limits: { readonly events: number; readonly length: number };
  #held: { readonly at: number; readonly length: number }[] = [];
  after: number;
  through: number;

  constructor(limits: { readonly events: number; readonly length: number }, start: number) {
    this.#limits = limits;
    this.after = start;
    this.through = start;
  }

  push(at: number, length: number): void {
    if (at <= this.through) return;
    this.#held.push({ at, length });
    this.through = at;
    const tooMuch = (): boolean =>
      this.#held.length > this.#limits.events ||
      this.#held.reduce((sum, one) => sum + one.length, 0) > this.#limits.length;
    while (tooMuch()) this.after = this.#held.shift()?.at ?? this.after;
  }

  passed(at: number): void {
    this.through = Math.max(this.through, at);
  }

  from(position: number, most: number): number[] {
    return this.#held
      .map(({ at }) => at)
      .filter((at) => at > position)
      .slice(0, most);
  }
}

const step = fc.oneof(
  // Not above zero: an event that has been accounted for already.
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('push' as const),
      step: fc.integer({ min: -2, max: 5 }),
      length: fc.nat(12),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('passed' as const), step: fc.integer({ min: -3, max: 5 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('from' as const),
      position: fc.nat(100),
      most: fc.integer({ min: 1, max: 12 }),
    }),
  },
);
const steps = fc.array(step, { maxLength: 120 });

test('it holds, reaches and gives what a plain array does, whatever its limits', () => {
  const limits = fc.record({
    events: fc.integer({ min: 1, max: 9 }),
    length: fc.integer({ min: 1, max: 60 }),
  });
  fc.assert(
    fc.property(limits, fc.nat(20), steps, (limits, start, plan) => {
      const ring = new RecentEvents(limits, at(start));
      const naive = new Naive(limits, start);
      for (const step of plan) {
        if (step.kind === 'push') {
          const position = Math.max(0, naive.through + step.step);
          ring.push(eventAt(position, step.length));
          naive.push(position, step.length);
        } else if (step.kind === 'passed') {
          ring.passed(at(Math.max(0, naive.through + step.step)));
          naive.passed(naive.through + step.step);
        } else if (step.position >= naive.after) {
          expect(numbers(ring.from(at(step.position), step.most))).toEqual(
            naive.from(step.position, step.most),
          );
        }
        expect(ring.through).toEqual(at(naive.through));
        for (const position of [naive.after - 1, naive.after, naive.after + 1]) {
          expect(ring.reaches(at(position))).toBe(position >= naive.after);
        }
      }
      expect(numbers(ring.from(at(naive.after), 1_000))).toEqual(naive.from(naive.after, 1_000));
    }),
    { numRuns: 500 },
  );
});

test('following it in slices, with pauses of any length, one misses nothing that it still reaches', () => {
  const turns = fc.array(fc.record({ pushes: fc.nat(12), slice: fc.integer({ min: 1, max: 5 }) }), {
    maxLength: 40,
  });
  fc.assert(
    fc.property(turns, (turns) => {
      const ring = new RecentEvents({ events: 20, length: 1_000 }, at(0));
      let [last, cursor] = [0, 0];
      for (const { pushes, slice } of turns) {
        for (let n = 0; n < pushes; n++) ring.push(eventAt((last += 3)));
        if (ring.reaches(at(cursor))) {
          const seen = numbers(ring.from(at(cursor), slice));
          expect(seen).toEqual(seen.map((_, n) => cursor + 3 * (n + 1)));
          cursor = seen.at(-1) ?? cursor;
        } else {
          // Fallen out: it would read pages. At least 20 events lie after it.
          expect(last - cursor).toBeGreaterThan(20 * 3);
          cursor = last;
        }
      }
    }),
  );
});

test('an event larger than the whole ring is not held, and not reached past', () => {
  const ring = new RecentEvents({ events: 10, length: 100 }, at(0));
  ring.push(eventAt(1, 50));
  ring.push(eventAt(2, 101));
  expect(ring.reaches(at(1))).toBe(false);
  expect(ring.reaches(at(2))).toBe(true);
  ring.push(eventAt(3, 100));
  expect(numbers(ring.from(at(2), 10))).toEqual([3]);
});

test('it begins where the log ended, so that nobody behind is served from it', () => {
  const ring = new RecentEvents({ events: 10, length: 100 }, at(7));
  expect(ring.reaches(at(6))).toBe(false);
  expect(ring.reaches(at(7))).toBe(true);
  expect(ring.from(at(7), 10)).toEqual([]);
  expect(comparePositions(ring.through, at(7))).toBe(0);
});

test('what is pushed for hours takes no more room than its limit', () => {
  const ring = new RecentEvents({ events: 100, length: 1_000_000 }, at(0));
  for (let n = 1; n <= 50_000; n++) ring.push(eventAt(n));
  expect(numbers(ring.from(at(49_900), 1_000))).toEqual(Array.from({ length: 100 }, (_, n) => 49_901 + n));
  expect(ring.reaches(at(49_899))).toBe(false);
});
