import { describe, expect, test } from 'vitest';
import { logStart } from '../../src/eventstore/port.ts';
import type { OpenedStorage } from './storage-contract.ts';
import { at, beat, sample, writer } from './storage-samples.ts';

const name = 'projection:sample/1';

export function leasesContract(open: () => Promise<OpenedStorage>): void {
  const opened = async (): Promise<OpenedStorage> => {
    const all = await open();
    await all.storage.prepare([sample]);
    return all;
  };

  describe('leases', () => {
    test('a beat tells who lives and what they are able to do, and who leads what', async () => {
      const { storage } = await opened();
      const alone = await beat(storage, 'a');
      expect(alone).toMatchObject({ instances: [{ id: 'a', able: ['able-a'] }], leases: [] });
      expect(alone.generations).toEqual(await storage.generations());
      await storage.claim(name, 'a');
      const both = await beat(storage, 'b');
      expect(new Set(both.instances)).toEqual(
        new Set([
          { id: 'a', able: ['able-a'] },
          { id: 'b', able: ['able-b'] },
        ]),
      );
      expect(both.leases).toEqual([{ name, owner: 'a' }]);
    });

    test('a beat says what the instance is able to do now', async () => {
      const { storage } = await opened();
      await beat(storage, 'a');
      await storage.beat({ instance: 'a', able: [], ttl: 60_000 });
      expect((await beat(storage, 'b')).instances).toContainEqual({ id: 'a', able: [] });
    });

    test('an instance that is not heard of in time is gone, and what it has is free', async () => {
      const { storage, pass } = await opened();
      await beat(storage, 'a', 400);
      const first = await storage.claim(name, 'a');
      await beat(storage, 'b');
      expect(await storage.claim(name, 'b')).toBeUndefined();
      await pass(500);
      expect(await beat(storage, 'b')).toMatchObject({ instances: [{ id: 'b' }], leases: [] });
      const second = await storage.claim(name, 'b');
      expect(second?.epoch).toBeGreaterThan(first?.epoch ?? 0n);
    });

    test('an instance that is heard of in time keeps what it has', async () => {
      const { storage, pass } = await opened();
      await beat(storage, 'a', 400);
      await storage.claim(name, 'a');
      for (let n = 0; n < 3; n++) {
        await pass(200);
        await beat(storage, 'a', 400);
      }
      expect((await beat(storage, 'b')).leases).toEqual([{ name, owner: 'a' }]);
      expect(await storage.claim(name, 'b')).toBeUndefined();
    });

    test('whoever does not live gets nothing', async () => {
      const { storage, pass } = await opened();
      expect(await storage.claim(name, 'unheard-of')).toBeUndefined();
      await beat(storage, 'a', 100);
      await pass(200);
      expect(await storage.claim(name, 'a')).toBeUndefined();
    });

    test('a claim starts at the beginning of the log, or where the last one has got', async () => {
      const { storage } = await opened();
      const first = await writer(storage, 'a');
      expect(first.held).toMatchObject({ name, position: logStart });
      await first.move(7);
      const again = await writer(storage, 'a');
      expect(again.held.position).toEqual(at(7));
      expect(again.held.epoch).toBeGreaterThan(first.held.epoch);
    });

    test('of many who claim at the same moment one gets it', async () => {
      const { storage } = await opened();
      const instances = Array.from({ length: 8 }, (_, n) => `i${n}`);
      await Promise.all(instances.map((instance) => beat(storage, instance)));
      const held = await Promise.all(instances.map((instance) => storage.claim(name, instance)));
      expect(held.filter((one) => one !== undefined)).toHaveLength(1);
    });

    test('what is given back is free at once', async () => {
      const { storage } = await opened();
      const { held } = await writer(storage, 'a');
      await storage.release(held, 'a');
      expect((await beat(storage, 'a')).leases).toEqual([]);
      await beat(storage, 'b');
      expect(await storage.claim(name, 'b')).toBeDefined();
    });

    test('what somebody else has by now cannot be given back, nor what was claimed anew', async () => {
      const { storage } = await opened();
      const { held } = await writer(storage, 'a');
      await writer(storage, 'a');
      await storage.release(held, 'a');
      expect((await beat(storage, 'b')).leases).toEqual([{ name, owner: 'a' }]);
      await storage.leave('a');
      await writer(storage, 'b');
      await storage.release(held, 'a');
      expect((await beat(storage, 'b')).leases).toEqual([{ name, owner: 'b' }]);
    });

    test('who leaves is gone, and what it had is free at once', async () => {
      const { storage } = await opened();
      await writer(storage, 'a');
      await storage.leave('a');
      expect(await beat(storage, 'b')).toMatchObject({ instances: [{ id: 'b' }], leases: [] });
      expect(await storage.claim(name, 'b')).toBeDefined();
      expect(await storage.claim(name, 'a')).toBeUndefined();
    });

    test('a checkpoint is found again by who has it, and by nobody who had it', async () => {
      const { storage } = await opened();
      const first = await writer(storage, 'a');
      await first.move(3);
      expect(await storage.seek(first.held)).toEqual({ ...first.held, position: at(3) });
      const second = await writer(storage, 'a');
      expect(await storage.seek(first.held)).toBeUndefined();
      expect(await storage.seek(second.held)).toEqual(second.held);
    });

    test('a failure is noted, and changes nothing else', async () => {
      const { storage } = await opened();
      const { held } = await writer(storage, 'a');
      await storage.fail(held, { error: 'it broke\0', stack: 'at fold', at: at(5) });
      await storage.fail(
        { ...held, epoch: held.epoch - 1n },
        { error: 'x', stack: undefined, at: undefined },
      );
      expect(await storage.seek(held)).toEqual(held);
    });

    test('who follows another log gets nothing', async () => {
      const { storage, strayed } = await opened();
      await beat(storage, 'a');
      await expect(strayed.prepare([sample])).rejects.toMatchObject({ name: 'OtherLog' });
      await expect(strayed.claim(name, 'a')).rejects.toMatchObject({ name: 'OtherLog' });
    });

    test('positions are told by name, or all of them', async () => {
      const { storage } = await opened();
      expect(await storage.positions(['nothing'])).toEqual(new Map());
      const one = await writer(storage, 'a');
      await one.move(9);
      expect(await storage.positions([name, 'nothing'])).toEqual(new Map([[name, at(9)]]));
      expect((await storage.positions(undefined)).get(name)).toEqual(at(9));
    });
  });
}
