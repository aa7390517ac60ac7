import { describe, expect, test } from 'vitest';
import { logStart } from '../../src/eventstore/port.ts';
import type { OpenedStorage } from './storage-contract.ts';
import { at, contents, keyOf, parkedEvent, put, remove, rowOf, sample, writer } from './storage-samples.ts';

export function writesContract(open: () => Promise<OpenedStorage>): void {
  const opened = async (): Promise<OpenedStorage> => {
    const all = await open();
    await all.storage.prepare([sample]);
    return all;
  };

  describe('writing', () => {
    test('rows are stored with the checkpoint, and loaded as they were written', async () => {
      const { storage } = await opened();
      const ann = await writer(storage, 'a');
      const odd = { note: 'a "quoted\\" note,\n{} NULL çelik' };
      expect(await ann.write(5, [put('ann', 3), put('bob', 5, odd)])).toBe(true);
      expect(await contents(storage, ['ann', 'bob', 'eve'])).toEqual({
        rows: [rowOf('ann'), rowOf('bob', odd)],
        position: at(5),
      });
      const [found] = await storage.load(sample, ann.generation, [keyOf('ann')]);
      expect(found?.key).toEqual(keyOf('ann'));
    });

    test('what is loaded is nobody’s but the caller’s', async () => {
      const { storage } = await opened();
      const a = await writer(storage, 'a');
      const row = { ...rowOf('ann') };
      await a.write(1, [{ key: keyOf('ann'), row, position: at(1), isStored: false }]);
      Object.assign(row, { count: 7 });
      const [found] = await storage.load(sample, a.generation, [keyOf('ann')]);
      Object.assign(found?.row ?? {}, { count: 8 });
      expect(await contents(storage, ['ann'])).toMatchObject({ rows: [rowOf('ann')] });
    });

    test('a batch makes, changes and removes rows', async () => {
      const { storage } = await opened();
      const a = await writer(storage, 'a');
      await a.write(2, [put('ann', 1, {}, false), put('bob', 2, {}, false)]);
      await a.write(4, [
        put('ann', 3, { count: 3 }, true),
        remove('bob', 4, true),
        put('eve', 4, { open: false }, false),
      ]);
      expect(await contents(storage, ['ann', 'bob', 'eve'])).toEqual({
        rows: [rowOf('ann', { count: 3 }), rowOf('eve', { open: false })],
        position: at(4),
      });
    });

    test('also where it is not known whether the table has a row', async () => {
      const { storage } = await opened();
      const a = await writer(storage, 'a');
      await a.write(1, [put('ann', 1), put('bob', 1), remove('eve', 1)]);
      await a.write(2, [put('ann', 2, { count: 2 }), remove('bob', 2), put('eve', 2)]);
      expect(await contents(storage, ['ann', 'bob', 'eve'])).toMatchObject({
        rows: [rowOf('ann', { count: 2 }), rowOf('eve')],
      });
    });

    test('a row that was removed can be made again', async () => {
      const { storage } = await opened();
      const a = await writer(storage, 'a');
      await a.write(1, [put('ann', 1, {}, false)]);
      await a.write(2, [remove('ann', 2, true)]);
      await a.write(3, [put('ann', 3, { count: 3 }, false)]);
      expect(await contents(storage, ['ann'])).toMatchObject({ rows: [rowOf('ann', { count: 3 })] });
    });

    test('a checkpoint moves over what changed nothing', async () => {
      const { storage } = await opened();
      const a = await writer(storage, 'a');
      expect(await a.move(4)).toBe(true);
      expect(await a.write(6, [put('ann', 6)])).toBe(true);
      expect(await contents(storage, ['ann'])).toEqual({ rows: [rowOf('ann')], position: at(6) });
    });
  });

  describe('fencing', () => {
    /** Nothing of what was refused is there. */
    const untouched = async ({ storage }: OpenedStorage, position = at(2)): Promise<void> => {
      expect(await contents(storage, ['ann', 'bob'])).toEqual({ rows: [rowOf('ann')], position });
      const generation = (await storage.generations())[0];
      expect(generation && (await storage.parkedScopes(generation))).toEqual(new Set());
    };

    test('a writer who was replaced is refused, and nothing it wrote is stored', async () => {
      const all = await opened();
      const zombie = await writer(all.storage, 'a');
      await zombie.write(2, [put('ann', 1)]);
      await all.storage.leave('a');
      await writer(all.storage, 'b');
      const rows = [put('ann', 3, { count: 3 }), put('bob', 3)];
      expect(await zombie.write(3, rows, [parkedEvent('row:x', 3, 'it broke')])).toBe(false);
      expect(await zombie.write(3, [], [parkedEvent('row:x', 3, 'it broke')])).toBe(false);
      expect(await zombie.write(3, [remove('ann', 3, true)])).toBe(false);
      expect(await zombie.move(3)).toBe(false);
      await untouched(all);
    });

    test('also one that has claimed it again itself', async () => {
      const all = await opened();
      const before = await writer(all.storage, 'a');
      await before.write(2, [put('ann', 1)]);
      const now = await writer(all.storage, 'a');
      expect(await before.write(3, [put('bob', 3)])).toBe(false);
      await untouched(all);
      expect(await now.move(3)).toBe(true);
    });

    test('a write from elsewhere than the checkpoint is refused, before and behind it', async () => {
      const all = await opened();
      const a = await writer(all.storage, 'a');
      await a.write(2, [put('ann', 1)]);
      for (const from of [logStart, at(1), at(3)]) {
        expect(await a.write(4, [put('bob', 4)], [parkedEvent('row:x', 4)], from)).toBe(false);
        expect(await a.move(4, from)).toBe(false);
      }
      await untouched(all);
    });

    test('both parts of a position count', async () => {
      const { storage } = await opened();
      const a = await writer(storage, 'a');
      await a.move(2);
      expect(await a.move(3, { commit: 2n, prepare: 1n })).toBe(false);
      expect(await a.move(3)).toBe(true);
    });

    test('of writes from the same place at the same moment one is stored', async () => {
      const { storage } = await opened();
      const a = await writer(storage, 'a');
      const members = Array.from({ length: 6 }, (_, n) => `m${n}`);
      const written = await Promise.all(members.map((member) => a.write(1, [put(member, 1)], [], logStart)));
      expect(written.filter(Boolean)).toHaveLength(1);
      const { rows } = await contents(storage, members);
      expect(rows).toEqual([rowOf(members[written.indexOf(true)] ?? '')]);
    });

    test('what cannot be stored leaves nothing behind', async () => {
      const all = await opened();
      const a = await writer(all.storage, 'a');
      await a.write(2, [put('ann', 1)]);
      const rows = [put('ann', 3, { count: 3 }), put('bob', 3, { note: 'no database takes \0' })];
      await expect(a.write(3, rows, [parkedEvent('row:x', 3)])).rejects.toMatchObject({ name: 'Rejected' });
      await untouched(all);
      expect(await a.write(3, [put('ann', 3)])).toBe(true);
    });
  });

  describe('parking', () => {
    test('parked events are stored with the checkpoint, each generation’s for itself', async () => {
      const { storage, rebuild } = await opened();
      await rebuild(sample);
      const [one, two] = [await writer(storage, 'a'), await writer(storage, 'a', 2)];
      expect(await storage.parkedScopes(one.generation)).toEqual(new Set());
      const parked = [parkedEvent('row:x', 2, 'it broke'), parkedEvent('stream:y', 3, 'it broke')];
      expect(await one.write(3, [put('ann', 1)], parked)).toBe(true);
      expect(await one.write(4, [], [parkedEvent('row:x', 4)])).toBe(true);
      expect(await storage.parkedScopes(one.generation)).toEqual(new Set(['row:x', 'stream:y']));
      expect(await storage.parkedScopes(two.generation)).toEqual(new Set());
      expect(await contents(storage, ['ann'])).toEqual({ rows: [rowOf('ann')], position: at(4) });
    });
  });
}
