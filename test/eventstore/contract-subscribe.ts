import fc from 'fast-check';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import {
  comparePositions,
  formatPosition,
  logStart,
  noStream,
  parsePosition,
  type LogBatch,
  type RecordedEvent,
} from '../../src/eventstore/port.ts';
import type { AdapterTraits, Stores, TestLog } from './contract.ts';
import { append, checkStreams, follow, idsOf, newEvents, newStream, toArray } from './samples.ts';

export function subscribeContract(
  stores: Stores,
  makeLog: () => Promise<TestLog>,
  traits: AdapterTraits,
): void {
  const caughtUp = (_: unknown, batch: LogBatch): boolean => batch.caughtUp;

  describe('subscribe', () => {
    it('delivers everything from the start, in log order over all streams', async () => {
      const [one, two] = [newStream(), newStream()];
      const appended = [
        ...(await append(stores.a, one, noStream, newEvents(2))),
        ...(await append(stores.b, two, noStream, newEvents(3))),
        ...(await append(stores.a, one, 1, newEvents(1))),
        ...(await append(stores.b, one, 2, newEvents(1))),
      ];
      const filter = (event: RecordedEvent): boolean => event.stream === one || event.stream === two;
      for (const store of [stores.a, stores.b]) {
        expect(await follow(store, logStart, caughtUp, { filter })).toEqual(appended);
      }
    });

    it('starts after a position, also one that was written down', async () => {
      const stored = await append(stores.a, newStream(), noStream, newEvents(10));
      const middle = parsePosition(formatPosition(stored[3]?.position ?? logStart)) ?? logStart;
      const seen = await follow(stores.b, middle, (events) => events.length >= 6);
      expect(seen).toEqual(stored.slice(4));
    });

    it('starts from the head: first says so, then delivers what comes', async () => {
      const after = await stores.a.head();
      const batches: LogBatch[] = [];
      const appended: RecordedEvent[] = [];
      const onBatch = async (batch: LogBatch): Promise<void> => {
        batches.push(batch);
        if (batches.length === 1) {
          appended.push(...(await append(stores.b, newStream(), noStream, newEvents(2))));
        }
      };
      const seen = await follow(stores.a, after, (events, batch) => events.length >= 2 && batch.caughtUp, {
        onBatch,
      });
      expect(batches[0]).toEqual({ events: [], through: after, caughtUp: true });
      expect(batches.at(-1)?.through).toEqual(appended.at(-1)?.position);
      expect(seen).toEqual(appended);
    });

    it('says "caught up" only when what others appended before is in', async () => {
      for (let round = 0; round < 20; round++) {
        const after = await stores.a.head();
        const stored = await append(stores.b, newStream(), noStream, newEvents(1));
        expect(await follow(stores.a, after, caughtUp)).toEqual(stored);
      }
    });

    it('keeps to the largest batch asked for', async () => {
      const after = await stores.a.head();
      const stored = await append(stores.a, newStream(), noStream, newEvents(50));
      const sizes: number[] = [];
      const seen = await follow(stores.b, after, caughtUp, {
        maxBatch: 7,
        onBatch: (batch) => void sizes.push(batch.events.length),
      });
      expect(Math.max(...sizes)).toBeLessThanOrEqual(7);
      expect(idsOf(seen)).toEqual(idsOf(stored));
    });

    it('wakes up for appends of this and of another process', async () => {
      const after = await stores.a.head();
      let round = 0;
      const seen = await follow(stores.a, after, (events) => events.length >= 10, {
        onBatch: async () => {
          if (round < 10) await append(round % 2 ? stores.a : stores.b, newStream(), noStream, newEvents(1));
          round++;
        },
      });
      expect(seen.length).toBeGreaterThanOrEqual(10);
    });

    it('gives all subscribers the same, whatever their speed', async () => {
      const after = await stores.a.head();
      const total = 3_000;
      const subscribers = [1, 10, 1_000].map((maxBatch, n) =>
        follow(n === 1 ? stores.b : stores.a, after, (events) => events.length >= total, {
          maxBatch: maxBatch === 1 ? 100 : maxBatch,
          onBatch: async () => {
            if (maxBatch === 1) for (let turn = 0; turn < 20; turn++) await nextTurn();
          },
        }),
      );
      for (let n = 0; n < total / 100; n++) {
        await Promise.all(
          Array.from({ length: 10 }, (_, k) =>
            append(k % 2 ? stores.a : stores.b, newStream(), noStream, newEvents(10)),
          ),
        );
      }
      const [first, ...others] = (await Promise.all(subscribers)).map(idsOf);
      expect(new Set(first).size).toBe(total);
      for (const other of others) expect(other).toEqual(first);
    });

    it('ends quietly when aborted: before, while waiting, while reading, with a batch in hand', async () => {
      const early = stores.a.subscribe({ after: logStart, signal: AbortSignal.abort() });
      expect(await toArray(early)).toEqual([]);

      const waiting = new AbortController();
      const iterator = stores.a.subscribe({ after: await stores.a.head(), signal: waiting.signal });
      const steps = iterator[Symbol.asyncIterator]();
      expect((await steps.next()).value).toMatchObject({ events: [], caughtUp: true });
      const next = steps.next();
      waiting.abort();
      expect(await next).toEqual({ done: true, value: undefined });
      expect(await steps.next()).toEqual({ done: true, value: undefined });

      const reading = new AbortController();
      const read = toArray(stores.a.subscribe({ after: logStart, signal: reading.signal }));
      reading.abort();
      await read;

      await append(stores.a, newStream(), noStream, newEvents(20));
      const inHand = new AbortController();
      let batches = 0;
      const small = stores.a.subscribe({ after: logStart, signal: inHand.signal, maxBatch: 2 });
      for await (const _ of small) {
        batches++;
        inHand.abort();
      }
      expect(batches).toBe(1);
    });

    it('resumes after any position without a gap or a repetition', async () => {
      const after = await stores.a.head();
      const stored = await append(stores.a, newStream(), noStream, newEvents(40));
      const seen: string[] = [];
      let position = after;
      while (seen.length < stored.length) {
        const part = await follow(stores.b, position, (events) => events.length > 0, { maxBatch: 7 });
        seen.push(...idsOf(part));
        position = part.at(-1)?.position ?? position;
      }
      expect(seen).toEqual(idsOf(stored));
    });

    it('misses and repeats nothing when it joins in the middle of appends', async () => {
      const plan = fc.record({
        writers: fc.array(
          fc.record({
            b: fc.boolean(),
            sizes: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 8 }),
          }),
          { minLength: 1, maxLength: 5 },
        ),
        joinAfter: fc.integer({ min: 0, max: 30 }),
        readerOnB: fc.boolean(),
        maxBatch: fc.integer({ min: 1, max: 50 }),
        laziness: fc.integer({ min: 0, max: 3 }),
      });
      await fc.assert(
        fc.asyncProperty(plan, async ({ writers, joinAfter, readerOnB, maxBatch, laziness }) => {
          const after = await stores.a.head();
          const total = writers.flatMap((writer) => writer.sizes).reduce((sum, size) => sum + size, 0);
          const writing = writers.map(async ({ b, sizes }) => {
            const stream = newStream();
            let revision = noStream;
            for (const size of sizes) {
              const stored = await append(b ? stores.b : stores.a, stream, revision, newEvents(size));
              revision = stored.at(-1)?.revision ?? revision;
            }
          });
          for (let turn = 0; turn < joinAfter; turn++) await nextTurn();
          const seen = await follow(
            readerOnB ? stores.b : stores.a,
            after,
            (events, batch) => events.length >= total && batch.caughtUp,
            {
              maxBatch,
              onBatch: async () => {
                for (let turn = 0; turn < laziness; turn++) await nextTurn();
              },
            },
          );
          await Promise.all(writing);
          expect(new Set(idsOf(seen)).size).toBe(seen.length);
          expect(seen).toHaveLength(total);
          checkStreams(seen);
        }),
        { numRuns: 40 },
      );
    });

    it('delivers the very events an append answered with', async () => {
      const after = await stores.a.head();
      const live = follow(stores.a, after, (events) => events.length >= 1);
      const stored = await append(stores.a, newStream(), noStream, newEvents(1));
      const reread = await follow(stores.b, after, (events) => events.length >= 1);
      expect(await live).toEqual(stored);
      expect(reread).toEqual(stored);
      expect(await toArray(stores.b.readStream(stored[0]?.stream ?? ''))).toEqual(stored);
    });

    it.runIf(traits.startsEmpty)('is caught up at once with an empty log', async () => {
      const log = await makeLog();
      const store = await log.open();
      expect(await store.head()).toEqual(logStart);
      const batches: LogBatch[] = [];
      const appended: RecordedEvent[] = [];
      const seen = await follow(store, logStart, (events) => events.length > 0, {
        onBatch: async (batch) => {
          if (batches.push(batch) === 1) {
            appended.push(...(await append(store, newStream(), noStream, newEvents(1))));
          }
        },
      });
      expect(batches[0]).toEqual({ events: [], through: logStart, caughtUp: true });
      expect(seen).toEqual(appended);
      expect(comparePositions(seen[0]?.position ?? logStart, logStart)).toBe(1);
      await store.close();
      await log.dispose();
    });
  });
}
