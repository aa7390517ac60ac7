import { describe, expect, test } from 'vitest';
import type { ReadModel } from '../../src/projections/engine/read-model.ts';
import type { Comparison } from '../../src/projections/engine/storage.ts';
import type { OpenedStorage } from './storage-contract.ts';
import {
  at,
  generationOf,
  contents,
  keyOf,
  parkedEvent,
  put,
  remove,
  rowOf,
  sample,
  type Writer,
  writer,
} from './storage-samples.ts';

/** Longer than a generation stands still for the one that is to replace it. */
const afterFreeze = 6_000;

interface Rebuilding extends OpenedStorage {
  /** Of the generation that serves, and of the one that is built. */
  readonly old: Writer;
  readonly made: Writer;
}

export function rebuildsContract(open: () => Promise<OpenedStorage>): void {
  const rebuilding = async (): Promise<Rebuilding> => {
    const all = await open();
    await all.storage.prepare([sample]);
    await all.rebuild(sample);
    const old = await writer(all.storage, 'a');
    return { ...all, old, made: await writer(all.storage, 'a', 2) };
  };
  const compare = async ({ storage, made }: Rebuilding): Promise<Comparison> => {
    const comparison = await storage.compare(sample, made.generation);
    if (!comparison) throw new Error('there was nothing to compare with');
    return comparison;
  };
  const statesOf = async ({ storage }: OpenedStorage): Promise<unknown[]> =>
    (await storage.generations()).map(({ number, state }) => [number, state]);

  describe('filling a table that is built', () => {
    const odd = { note: 'a "quoted\\" note,\n\r\t{} NULL \\N çelik', details: '{"a":"\\\\ \\n"}' };

    test('rows are stored, changed and removed there as anywhere', async () => {
      const { storage, made } = await rebuilding();
      const rows = [put('ann', 1, odd, false), put('bob', 2, {}, false), put('eve', 3, { note: '' }, false)];
      expect(await made.write(3, rows)).toBe(true);
      const mixed = [put('ann', 4, { count: 4 }, true), remove('bob', 5, true), put('zoe', 6, odd, false)];
      expect(await made.write(6, mixed, [parkedEvent('row:x', 6, 'it broke')])).toBe(true);
      expect(await made.write(7, [remove('none', 7, false)])).toBe(true);
      await storage.index(sample, made.generation);
      expect(await contents(storage, ['ann', 'bob', 'eve', 'zoe'], 2)).toEqual({
        rows: [rowOf('ann', { count: 4 }), rowOf('eve', { note: '' }), rowOf('zoe', odd)],
        position: at(7),
      });
      expect(await storage.parkedScopes(made.generation)).toEqual(new Set(['row:x']));
    });

    test('whoever was replaced is refused there, too', async () => {
      const { storage, made } = await rebuilding();
      await made.write(1, [put('ann', 1, {}, false)]);
      const { held } = await writer(storage, 'a', 2);
      const rows = [put('bob', 2, {}, false)];
      expect(await made.write(2, rows)).toBe(false);
      expect(await made.write(2, rows, [parkedEvent('row:x', 2)])).toBe(false);
      expect(await made.write(2, [...rows, remove('ann', 2, true)])).toBe(false);
      expect(await storage.seek(held)).toEqual(held);
      expect(await contents(storage, ['ann', 'bob'], 2)).toEqual({ rows: [rowOf('ann')], position: at(1) });
      expect(await storage.parkedScopes(made.generation)).toEqual(new Set());
    });
  });

  describe('comparing', () => {
    test('the same rows are the same, however they came about', async () => {
      const all = await rebuilding();
      await all.old.write(3, [put('ann', 1, { count: 1 }), put('bob', 3)]);
      await all.old.write(5, [put('ann', 5), put('gone', 5)]);
      await all.old.write(6, [remove('gone', 6)]);
      await all.made.write(6, [put('ann', 5), put('bob', 3)]);
      const { through, rows, checksum, differences, examples } = await compare(all);
      expect({ through, rows, differences, examples }).toEqual({
        through: at(6),
        rows: { before: 2n, after: 2n },
        differences: 0n,
        examples: [],
      });
      expect(checksum.before).toBe(checksum.after);
    });

    test('rows that differ are found, and those that only one has', async () => {
      const all = await rebuilding();
      const rows = ['ann', 'bob', 'eve', 'same'].map((member) => put(member, 2, { note: `"${member}"` }));
      await all.old.write(4, rows);
      await all.made.write(4, [...rows, put('more', 3)]);
      const { generation } = all.made;
      await all.tamper(generation, keyOf('ann'), rowOf('ann', { note: '"ann"', amount: 1n }));
      await all.tamper(generation, keyOf('bob'), rowOf('bob', { note: undefined }));
      await all.tamper(generation, keyOf('eve'), undefined);
      const { rows: counted, differences, examples, checksum } = await compare(all);
      expect(counted).toEqual({ before: 4n, after: 4n });
      expect(differences).toBe(4n);
      expect(examples).toHaveLength(4);
      expect(examples.filter(({ before }) => before === undefined)).toHaveLength(1);
      expect(examples.filter(({ after }) => after === undefined)).toHaveLength(1);
      expect(checksum.before).not.toBe(checksum.after);
    });

    test('a row of the same values but of another position differs', async () => {
      const all = await rebuilding();
      await all.old.write(4, [put('ann', 3)]);
      await all.made.write(4, [put('ann', 2)]);
      expect(await compare(all)).toMatchObject({ differences: 1n });
    });

    test('what one of them changed after the other’s position is left out', async () => {
      const all = await rebuilding();
      await all.old.write(2, [put('ann', 1), put('bob', 2)]);
      await all.old.write(5, [put('ann', 4, { count: 4 }), put('eve', 5)]);
      await all.made.write(2, [put('ann', 1), put('bob', 2)]);
      expect(await compare(all)).toMatchObject({
        through: at(2),
        rows: { before: 1n, after: 1n },
        differences: 0n,
      });
      await all.made.write(9, [put('ann', 8), put('eve', 5), put('zoe', 9)]);
      expect(await compare(all)).toMatchObject({ through: at(5), differences: 0n });
    });

    test('a row that the one ahead has removed since is no difference', async () => {
      const all = await rebuilding();
      await all.old.write(2, [put('ann', 1), put('bob', 2)]);
      await all.made.write(2, [put('ann', 1), put('bob', 2)]);
      await all.old.write(3, [remove('ann', 3, true)]);
      expect(await compare(all)).toMatchObject({ through: at(2), differences: 0n });
      await all.made.write(4, [remove('ann', 3, true), remove('bob', 4, true)]);
      expect(await compare(all)).toMatchObject({ through: at(3), differences: 0n });
    });

    test('a row that the one behind lacks is a difference all the same', async () => {
      const all = await rebuilding();
      await all.old.write(3, [put('ann', 1)]);
      await all.made.move(2);
      expect(await compare(all)).toMatchObject({ through: at(2), differences: 1n });
    });

    test('with nothing of the same version there is nothing to compare', async () => {
      const { storage } = await open();
      await storage.prepare([sample]);
      const newer: ReadModel = { ...sample, version: 2 };
      await storage.prepare([newer]);
      expect(await storage.compare(newer, await generationOf(storage, 2))).toBeUndefined();
      expect(await storage.compare(sample, await generationOf(storage, 1))).toBeUndefined();
    });
  });

  describe('swapping', () => {
    test('the new one serves, the old one is kept, and whoever wrote it is refused', async () => {
      const all = await rebuilding();
      await all.old.write(4, [put('ann', 4)]);
      await all.made.write(4, [put('ann', 4)]);
      expect(await all.storage.swap(all.made.held, all.made.generation)).toBe('swapped');
      expect(await statesOf(all)).toEqual([
        [1, 'kept'],
        [2, 'serving'],
      ]);
      expect(await all.old.write(5, [put('bob', 5)])).toBe(false);
      expect(await all.old.move(5)).toBe(false);
      expect(await all.made.write(5, [put('bob', 5)])).toBe(true);
      expect(await all.storage.seek(all.old.held)).toBeUndefined();
    });

    test('asked again, because the answer was lost, it says so again', async () => {
      const all = await rebuilding();
      await all.storage.swap(all.made.held, all.made.generation);
      expect(await all.storage.swap(all.made.held, all.made.generation)).toBe('swapped');
      expect(await statesOf(all)).toEqual([
        [1, 'kept'],
        [2, 'serving'],
      ]);
      expect(await all.made.move(1)).toBe(true);
      expect(await all.storage.freeze(all.made.held, all.made.generation)).toBeUndefined();
      expect(await all.storage.compare(sample, all.made.generation)).toBeUndefined();
      expect(await all.made.move(2)).toBe(true);
    });

    test('not with one that is behind', async () => {
      const all = await rebuilding();
      await all.old.write(4, [put('ann', 4)]);
      await all.made.move(3);
      expect(await all.storage.swap(all.made.held, all.made.generation)).toBe('behind');
      expect(await statesOf(all)).toEqual([
        [1, 'serving'],
        [2, 'building'],
      ]);
      expect(await all.old.move(5)).toBe(true);
    });

    test('not by one who was replaced', async () => {
      const all = await rebuilding();
      await writer(all.storage, 'a', 2);
      expect(await all.storage.swap(all.made.held, all.made.generation)).toBe('fenced');
      expect(await statesOf(all)).toEqual([
        [1, 'serving'],
        [2, 'building'],
      ]);
    });

    test('a newer version beside an older one, not before it is as far', async () => {
      const all = await open();
      await all.storage.prepare([sample]);
      await all.storage.prepare([{ ...sample, version: 2 }]);
      const old = await writer(all.storage, 'a');
      await old.move(9);
      const made = await writer(all.storage, 'a', 2);
      expect(await all.storage.swap(made.held, made.generation)).toBe('behind');
      expect(await all.storage.freeze(made.held, made.generation)).toEqual(at(9));
      expect(await old.move(10)).toBe(false);
      await made.move(9);
      expect(await all.storage.swap(made.held, made.generation)).toBe('swapped');
      expect(await statesOf(all)).toEqual([
        [1, 'serving'],
        [2, 'serving'],
      ]);
      const again = await writer(all.storage, 'a');
      expect(await again.move(10)).toBe(true);
    });

    test('an older version beside a newer one, wherever that is', async () => {
      const all = await open();
      await all.storage.prepare([sample]);
      await all.storage.prepare([{ ...sample, version: 2 }]);
      const newer = await writer(all.storage, 'a', 2);
      await all.storage.swap(newer.held, newer.generation);
      await newer.move(9);
      await all.rebuild(sample);
      const made = await writer(all.storage, 'a', 3);
      expect(await all.storage.swap(made.held, made.generation)).toBe('swapped');
      expect(await statesOf(all)).toEqual([
        [1, 'kept'],
        [2, 'serving'],
        [3, 'serving'],
      ]);
      expect(await newer.move(10)).toBe(true);
    });

    test('one who was replaced stops nobody', async () => {
      const all = await rebuilding();
      await all.old.write(4, [put('ann', 4)]);
      await writer(all.storage, 'a', 2);
      expect(await all.storage.freeze(all.made.held, all.made.generation)).toBeUndefined();
      expect(await all.old.write(5, [put('ann', 5)])).toBe(true);
      expect(await all.storage.claim(all.old.held.name, 'a')).toMatchObject({ position: at(5) });
    });

    test('one that stands still is written and claimed by nobody, for a while', async () => {
      const all = await rebuilding();
      await all.old.write(4, [put('ann', 4)]);
      expect(await all.storage.freeze(all.made.held, all.made.generation)).toEqual(at(4));
      expect(await all.old.write(5, [put('ann', 5)])).toBe(false);
      expect(await all.old.move(5)).toBe(false);
      expect(await all.storage.claim(all.old.held.name, 'a')).toBeUndefined();
      expect(await all.made.move(4)).toBe(true);
      await all.pass(afterFreeze);
      expect(await all.storage.claim(all.old.held.name, 'a')).toMatchObject({ position: at(4) });
    });
  });
}
