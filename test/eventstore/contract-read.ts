import { describe, expect, it } from 'vitest';
import { formatPosition, noStream, parsePosition } from '../../src/eventstore/port.ts';
import type { Stores } from './contract.ts';
import { append, idsOf, newEvents, newStream, toArray } from './samples.ts';

export function readContract(stores: Stores): void {
  describe('readStream and head', () => {
    it('reads nothing from an unknown stream', async () => {
      expect(await toArray(stores.a.readStream(newStream()))).toEqual([]);
    });

    it('reads from a revision on, past the end nothing', async () => {
      const stream = newStream();
      const events = newEvents(5);
      await append(stores.a, stream, noStream, events);
      const from = async (revision: number) =>
        idsOf(await toArray(stores.a.readStream(stream, { from: revision })));
      expect(await from(0)).toEqual(idsOf(events));
      expect(await from(3)).toEqual(idsOf(events.slice(3)));
      expect(await from(5)).toEqual([]);
      expect(await from(500)).toEqual([]);
    });

    it('reads a long stream in order, and its reader may leave early', async () => {
      const stream = newStream();
      for (let n = 0; n < 6; n++) await append(stores.a, stream, n * 500 - 1, newEvents(500));
      const revisions = (await toArray(stores.b.readStream(stream))).map((event) => event.revision);
      expect(revisions).toEqual(Array.from({ length: 3_000 }, (_, n) => n));
      for await (const event of stores.b.readStream(stream)) if (event.revision === 10) break;
    });

    it('throws the reason when aborted: a part is not the whole', async () => {
      const stream = newStream();
      await append(stores.a, stream, noStream, newEvents(3));
      const before = AbortSignal.abort(new Error('left'));
      await expect(toArray(stores.a.readStream(stream, { signal: before }))).rejects.toThrow('left');

      const abort = new AbortController();
      const reading = (async () => {
        for await (const _ of stores.a.readStream(stream, { signal: abort.signal }))
          abort.abort(new Error('left'));
      })();
      await expect(reading).rejects.toThrow('left');
    });

    it('tells the head, whoever appended', async () => {
      const stored = await append(stores.a, newStream(), noStream, newEvents(3));
      expect(await stores.b.head()).toEqual(stored.at(-1)?.position);
      const [later] = await append(stores.b, newStream(), noStream, newEvents(1));
      expect(await stores.a.head()).toEqual(later?.position);
    });

    it('gives positions that survive being written down', async () => {
      await append(stores.a, newStream(), noStream, newEvents(1));
      const head = await stores.a.head();
      expect(parsePosition(formatPosition(head))).toEqual(head);
    });
  });
}
