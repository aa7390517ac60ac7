import { describe, expect, it } from 'vitest';
import { noStream } from '../../src/eventstore/port.ts';
import type { AdapterTraits, Stores } from './contract.ts';
import { append, idsOf, newEvent, newEvents, newStream, settled, toArray } from './samples.ts';

export function appendContract(stores: Stores, traits: AdapterTraits): void {
  describe('append', () => {
    it('stores events with consecutive revisions and ascending positions', async () => {
      const stream = newStream();
      const first = await append(stores.a, stream, noStream, newEvents(2));
      const second = await append(stores.a, stream, 1, newEvents(1));
      const all = [...first, ...second];
      expect(all.map((event) => event.revision)).toEqual([0, 1, 2]);
      expect(await toArray(stores.a.readStream(stream))).toEqual(all);
    });

    it.each([
      ['no stream, but there is one', 2, noStream, 1],
      ['too low', 3, 0, 2],
      ['too high', 2, 5, 1],
      ['too high by one', 2, 2, 1],
      ['a revision of a stream that does not exist', 0, 0, noStream],
    ])('refuses a wrong revision: %s', async (_, stored, expected, actualRevision) => {
      const stream = newStream();
      if (stored > 0) await append(stores.a, stream, noStream, newEvents(stored));
      const result = await stores.a.append(stream, expected, newEvents(2));
      expect(result).toEqual({ kind: 'conflict', actualRevision });
      expect(await toArray(stores.a.readStream(stream))).toHaveLength(stored);
    });

    it('lets exactly one of many concurrent appends win', async () => {
      const stream = newStream();
      for (let revision = -1; revision < 4; revision++) {
        const results = await Promise.all(
          Array.from({ length: 12 }, (_, n) =>
            (n % 2 ? stores.a : stores.b).append(stream, revision, [newEvent()]),
          ),
        );
        expect(results.filter((result) => result.kind === 'appended')).toHaveLength(1);
        expect(results.filter((result) => result.kind === 'conflict')).toHaveLength(11);
      }
    });

    it('answers a repeated append with what is stored, also when more events have followed', async () => {
      const stream = newStream();
      await append(stores.a, stream, noStream, newEvents(1));
      const events = newEvents(3);
      const stored = await append(stores.a, stream, 0, events);
      expect(await append(stores.a, stream, 0, events)).toEqual(stored);
      await append(stores.a, stream, 3, newEvents(2));
      expect(await append(stores.b, stream, 0, events)).toEqual(stored);
      expect(await toArray(stores.a.readStream(stream))).toHaveLength(6);
    });

    it('answers concurrent repetitions of one append alike', async () => {
      const stream = newStream();
      const events = newEvents(2);
      const results = await Promise.all(
        Array.from({ length: 10 }, (_, n) =>
          settled(() => (n % 2 ? stores.a : stores.b).append(stream, noStream, events)),
        ),
      );
      for (const result of results) expect(result).toEqual(results[0]);
      expect(await toArray(stores.a.readStream(stream))).toHaveLength(2);
    });

    it('takes a repetition that matches only in part for a conflict', async () => {
      const stream = newStream();
      const [first, second, third] = [newEvent(), newEvent(), newEvent()];
      await append(stores.a, stream, noStream, [first, second]);
      const conflict = { kind: 'conflict', actualRevision: 1 };
      expect(await stores.a.append(stream, noStream, [first, third])).toEqual(conflict);
      expect(await stores.a.append(stream, noStream, [first, second, third])).toEqual(conflict);
      expect(await stores.a.append(stream, noStream, [second, first])).toEqual(conflict);
      expect(idsOf(await toArray(stores.a.readStream(stream)))).toEqual(idsOf([first, second]));
    });

    it.runIf(traits.idsUniqueInLog)('refuses an id that belongs to another event', async () => {
      const [stream, other] = [newStream(), newStream()];
      const taken = newEvent();
      await append(stores.a, stream, noStream, [newEvent(), taken]);
      const inUse = { kind: 'id-in-use', id: taken.id, stream, revision: 1 };
      expect(await stores.b.append(other, noStream, [newEvent(), taken])).toEqual(inUse);
      expect(await stores.b.append(stream, 1, [taken])).toEqual(inUse);
      expect(await toArray(stores.a.readStream(other))).toEqual([]);
    });

    it.runIf(traits.idsUniqueInLog)('gives an id to one of many concurrent appends', async () => {
      const shared = newEvent();
      const results = await Promise.all(
        Array.from({ length: 8 }, () => stores.a.append(newStream(), noStream, [newEvent(), shared])),
      );
      expect(results.filter((result) => result.kind === 'appended')).toHaveLength(1);
      expect(results.filter((result) => result.kind === 'id-in-use')).toHaveLength(7);
    });

    it('keeps refused appends from spoiling others made at the same time', async () => {
      const taken = newStream();
      await append(stores.a, taken, noStream, newEvents(1));
      const streams = Array.from({ length: 20 }, (_, n) => (n === 7 ? taken : newStream()));
      const results = await Promise.all(
        streams.map((stream, n) => stores.a.append(stream, n === 13 ? 4 : noStream, newEvents(2))),
      );
      const kinds = results.map((result) => result.kind);
      expect(kinds.flatMap((kind, n) => (kind === 'appended' ? [] : [n]))).toEqual([7, 13]);
      for (const [n, stream] of streams.entries()) {
        const length = n === 7 ? 1 : n === 13 ? 0 : 2;
        expect(await toArray(stores.b.readStream(stream))).toHaveLength(length);
      }
    });

    it.each([
      ['no events', newStream(), noStream, []],
      ['an impossible revision', newStream(), -2, newEvents(1)],
      ['half a revision', newStream(), 0.5, newEvents(1)],
      ['a nameless stream', '', noStream, newEvents(1)],
      ['an id that is no UUID', newStream(), noStream, [newEvent({ id: 'x' })]],
    ])('throws a RangeError for %s', async (_, stream, revision, events) => {
      await expect(stores.a.append(stream, revision, events)).rejects.toBeInstanceOf(RangeError);
    });

    it('throws a RangeError for an id used twice in one append', async () => {
      const event = newEvent();
      await expect(stores.a.append(newStream(), noStream, [event, event])).rejects.toBeInstanceOf(RangeError);
    });

    it('stores 1,000 events in one append', async () => {
      const stream = newStream();
      const stored = await append(stores.a, stream, noStream, newEvents(1_000));
      expect(stored).toHaveLength(1_000);
      expect(await toArray(stores.b.readStream(stream))).toEqual(stored);
    });

    it('keeps JSON texts as they are, character by character', async () => {
      const texts = [
        '{ "b":1,  "a" : [1.0, 1e3, -0, 12345678901234567890], "a":2 }',
        JSON.stringify({ quotes: `"'\\`, control: '\u0000\u001e\u001f\n\t\u2028', half: '\ud800' }),
        '"ünïcödé 漢字 🦑 e\u0301 \u202e"',
        '[]',
        'null',
        JSON.stringify('x'.repeat(1024 * 1024)),
      ];
      const stream = newStream();
      const events = texts.map((text) => newEvent({ data: text, metadata: text.length < 500 ? text : '{}' }));
      const stored = await append(stores.a, stream, noStream, events);
      const read = await toArray(stores.b.readStream(stream));
      expect(read.map((event) => event.data)).toEqual(texts);
      expect(read).toEqual(stored);
    });

    it.each(['Ünï-cödé 漢字 🦑', 'quote\'"\\;--', 'a b/c%2F~d', '{a,b}', 'NULL', ' ', '-', 'x'.repeat(200)])(
      'takes the stream name %j',
      async (name) => {
        const stream = `${newStream()} ${name}`;
        const stored = await append(stores.a, stream, noStream, newEvents(2));
        expect(await toArray(stores.b.readStream(stream))).toEqual(stored);
        expect(await toArray(stores.b.readStream(stream.toUpperCase()))).toEqual([]);
      },
    );
  });
}
