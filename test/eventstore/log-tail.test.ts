/** The tail alone, over a log in memory: any interleaving of commits, reports of commits, and reads. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventRing } from '../../src/eventstore/postgres/event-ring.ts';
import { LogTail } from '../../src/eventstore/postgres/log-tail.ts';
import { toPosition } from '../../src/eventstore/postgres/rows.ts';
import type { RecordedEvent } from '../../src/eventstore/port.ts';
import { newEvent } from './samples.ts';

const recorded = (position: number, data = '{}'): RecordedEvent => ({
  ...newEvent({ data }),
  stream: 's',
  revision: position - 1,
  position: toPosition(position),
  recordedAt: new Date(0),
});

const numbers = (events: readonly RecordedEvent[]): number[] =>
  events.map((event) => Number(event.position.commit));

const range = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, n) => from + n);

describe('the ring', () => {
  it('holds a contiguous run of the last events, within its bounds', () => {
    const pushes = fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 20 });
    fc.assert(
      fc.property(
        pushes,
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 0, max: 60 }),
        (sizes, events, length) => {
          const ring = new EventRing({ events, length });
          let last = 0;
          for (const size of sizes) {
            ring.push(
              range(last + 1, last + size).map((position) => recorded(position, 'x'.repeat(position % 9))),
            );
            last += size;
            const held = range(1, last).filter((position) => ring.holds(position));
            expect(held).toEqual(range(last - held.length + 1, last));
            expect(held.length).toBeLessThanOrEqual(events);
            expect(numbers(ring.from(last - held.length + 1, last))).toEqual(held);
          }
        },
      ),
    );
  });

  it('refuses a gap, and ignores what it has passed', () => {
    const ring = new EventRing({ events: 4, length: 1_000 });
    ring.push([recorded(1), recorded(2)]);
    expect(() => ring.push([recorded(4)])).toThrow(/after 2/);
    ring.push([recorded(1), recorded(2), recorded(3)]);
    expect(numbers(ring.from(1, 9))).toEqual([1, 2, 3]);
  });
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the tail', () => {
  it('shows its followers every event once, in order, however reports and reads interleave', async () => {
    const batches = fc.array(
      fc.record({
        size: fc.integer({ min: 1, max: 6 }),
        /** Appended by this process, so that its commit is reported. */
        own: fc.boolean(),
        /** Reads asked for at that moment. */
        refreshes: fc.integer({ min: 0, max: 2 }),
      }),
      { minLength: 1, maxLength: 30 },
    );
    await fc.assert(
      fc.asyncProperty(
        batches,
        fc.integer({ min: 2, max: 40 }),
        fc.scheduler(),
        async (plan, ringSize, scheduler) => {
          const log: RecordedEvent[] = [];
          // What a read sees is fixed when it is asked; its answer comes whenever the scheduler likes.
          const tail = new LogTail(
            {
              page: (after) => {
                const events = log.slice(after, after + 5);
                return scheduler.schedule(Promise.resolve({ events, full: events.length === 5 }), 'page');
              },
              head: () => scheduler.schedule(Promise.resolve(log.length), 'head'),
            },
            { events: ringSize, length: 1_000_000 },
            0,
          );
          const seen: number[] = [];
          tail.follow(() => {
            // As a subscription does: out of the ring, or else from the log itself, up to `last` only.
            while (seen.length < tail.last) {
              const next = seen.length + 1;
              const events = tail.holds(next)
                ? tail.from(next, 3)
                : log.slice(next - 1, Math.min(next + 2, tail.last));
              seen.push(...numbers(events));
            }
          });
          for (const { size, own, refreshes } of plan) {
            const events = range(log.length + 1, log.length + size).map((position) => recorded(position));
            log.push(...events);
            if (own) void scheduler.schedule(Promise.resolve(), 'report').then(() => tail.committed(events));
            for (let n = 0; n < refreshes; n++) void tail.refresh();
            if (size % 2) await scheduler.waitNext(Math.min(1, scheduler.count()));
          }
          const final = tail.refresh();
          await scheduler.waitIdle();
          await final;
          // What was committed here is shown a turn later: who appended it is answered first.
          await turn();
          expect(seen).toEqual(range(1, log.length));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('jumps to the head instead of reading more than it can hold', async () => {
    let pages = 0;
    const tail = new LogTail(
      {
        page: async (after) => {
          pages++;
          const events = range(after + 1, Math.min(100_000, after + 10)).map((position) =>
            recorded(position),
          );
          return { events, full: events.length === 10 };
        },
        head: async () => 100_000,
      },
      { events: 100, length: 1_000_000 },
      0,
    );
    await tail.refresh();
    expect(tail.last).toBe(100_000);
    expect(pages).toBeLessThan(4);
  });
});
