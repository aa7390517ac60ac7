import { describe, expect, test } from 'vitest';
import { logStart } from '../../src/eventstore/port.ts';
import type { ReadModel } from '../../src/projections/engine/read-model.ts';
import type { OpenedStorage } from './storage-contract.ts';
import { beat, contents, generationOf, put, rowOf, sample, writer } from './storage-samples.ts';

const newer: ReadModel = { ...sample, version: 2 };

export function generationsContract(open: () => Promise<OpenedStorage>): void {
  const states = async ({ storage }: OpenedStorage): Promise<unknown[]> =>
    (await storage.generations()).map(({ number, version, state }) => [number, version, state]);

  describe('generations', () => {
    test('the first one serves at once', async () => {
      const all = await open();
      await all.storage.prepare([sample]);
      expect(await all.storage.generations()).toEqual([
        expect.objectContaining({
          model: 'sample',
          number: 1,
          version: 1,
          state: 'serving',
          wish: 'run',
          dryRun: false,
          accepted: false,
          columns: {
            member: 'text',
            day: 'timestamptz',
            amount: 'bigint',
            count: 'integer',
            open: 'boolean',
            details: 'json',
            note: 'text null',
          },
        }),
      ]);
      expect(await all.storage.positions(['projection:sample/1'])).toEqual(
        new Map([['projection:sample/1', logStart]]),
      );
    });

    test('prepared again, also by many at once, there is still one', async () => {
      const all = await open();
      await Promise.all(Array.from({ length: 4 }, () => all.storage.prepare([sample])));
      const a = await writer(all.storage, 'a');
      await a.write(1, [put('ann', 1)]);
      await all.storage.prepare([sample]);
      expect(await states(all)).toEqual([[1, 1, 'serving']]);
      expect(await contents(all.storage, ['ann'])).toMatchObject({ rows: [rowOf('ann')] });
    });

    test('another version is built beside the one that serves, and both can be claimed', async () => {
      const all = await open();
      await all.storage.prepare([sample]);
      await all.storage.prepare([newer]);
      await all.storage.prepare([sample]);
      expect(await states(all)).toEqual([
        [1, 1, 'serving'],
        [2, 2, 'building'],
      ]);
      expect(await generationOf(all.storage, 2)).toMatchObject({ stage: 'loading', wish: 'run' });
      const [old, made] = [await writer(all.storage, 'a'), await writer(all.storage, 'a', 2)];
      expect(await old.write(5, [put('ann', 5)])).toBe(true);
      expect(await made.write(3, [put('ann', 3, { count: 3 })])).toBe(true);
      expect(await contents(all.storage, ['ann'])).toMatchObject({ rows: [rowOf('ann')] });
      expect(await contents(all.storage, ['ann'], 2)).toMatchObject({ rows: [rowOf('ann', { count: 3 })] });
    });

    test('code that is older than everything there is refused', async () => {
      const { storage } = await open();
      await storage.prepare([newer]);
      await expect(storage.prepare([sample])).rejects.toMatchObject({ name: 'OtherVersion' });
    });

    test('what is asked for by an operator is built beside the one that serves', async () => {
      const all = await open();
      await all.storage.prepare([sample]);
      await all.rebuild(sample);
      expect(await states(all)).toEqual([
        [1, 1, 'serving'],
        [2, 1, 'building'],
      ]);
      expect((await beat(all.storage, 'a')).generations).toEqual(await all.storage.generations());
    });

    test('a stage is noted by who has the checkpoint, and by nobody else', async () => {
      const all = await open();
      const { storage } = all;
      await storage.prepare([sample]);
      await all.rebuild(sample);
      const zombie = await writer(storage, 'a', 2);
      expect(await storage.setStage(zombie.held, zombie.generation, 'indexing')).toBe(true);
      expect(await generationOf(storage, 2)).toMatchObject({ state: 'building', stage: 'indexing' });
      const a = await writer(storage, 'a', 2);
      expect(await storage.setStage(zombie.held, zombie.generation, 'verifying')).toBe(false);
      const report = { comparison: undefined, error: 'it broke' };
      expect(await storage.setStage(a.held, a.generation, 'failed', report)).toBe(true);
      expect(await generationOf(storage, 2)).toMatchObject({ stage: 'failed' });
    });

    test('indexes are made, also again', async () => {
      const all = await open();
      const { storage } = all;
      await storage.prepare([sample]);
      await all.rebuild(sample);
      const { generation } = await writer(storage, 'a', 2);
      await storage.index(sample, generation);
      await storage.index(sample, generation);
      const numbers = { target: logStart, newEvents: 3, eventsPerSecond: 0.5, remainingSeconds: undefined };
      await storage.noteProgress(generation, numbers);
      expect(await generationOf(storage, 2)).toEqual(generation);
    });

    test('what is dropped is gone, and its number is not used again', async () => {
      const all = await open();
      const { storage } = all;
      await storage.prepare([sample]);
      await all.rebuild(sample);
      const zombie = await writer(storage, 'a', 2);
      const a = await writer(storage, 'a', 2);
      expect(await storage.drop(zombie.held, zombie.generation)).toBe(false);
      expect(await states(all)).toHaveLength(2);
      expect(await storage.drop(a.held, a.generation)).toBe(true);
      expect(await storage.drop(a.held, a.generation)).toBe(false);
      expect(await states(all)).toEqual([[1, 1, 'serving']]);
      expect(await storage.positions(['projection:sample/2'])).toEqual(new Map());
      expect(await storage.claim('projection:sample/2', 'a')).toBeUndefined();
      expect(await storage.seek(a.held)).toBeUndefined();
      await all.rebuild(sample);
      expect(await states(all)).toEqual([
        [1, 1, 'serving'],
        [3, 1, 'building'],
      ]);
    });
  });
}
