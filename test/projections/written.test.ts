/** What a writer tells of its write is what a reader would find, so that nobody needs to read it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Position } from '../../src/eventstore/port.ts';
import { Catalog } from '../../src/projections/engine/catalog.ts';
import { defineReadModel, type ReadModel } from '../../src/projections/engine/read-model.ts';
import type { ReadModelReader } from '../../src/projections/engine/reading.ts';
import type { Generation, ProjectionStorage, StoredRow } from '../../src/projections/engine/storage.ts';
import { writtenOf } from '../../src/projections/engine/written.ts';
import { readModels } from '../../src/projections/index.ts';
import { readModelReader } from '../../src/projections/postgres/reader.ts';
import { at, generationOf, put, remove, sample, writer } from './storage-samples.ts';
import { caughtUp, openHouse } from './support/house.ts';
import { happening, someHistory } from './support/history.ts';

const most = 1_024;

/** What a reader of changes finds after a position, in the form of what is told. */
async function found(reader: ReadModelReader, model: ReadModel, after: Position) {
  const { rows, commits, through, incarnation, end } = await reader.changes(
    model,
    {},
    { position: after, key: undefined },
    most,
  );
  expect(end).toBe(true);
  return { after, through, incarnation, rows: rows.map((row, n) => ({ row, commit: commits[n] })) };
}

/** A key of every type that a key may have. */
const keyed = defineReadModel({
  name: 'keyed',
  version: 1,
  table: {
    columns: { name: 'text', amount: 'bigint', count: 'integer', day: 'timestamptz', note: 'text' },
    key: ['name', 'day', 'amount', 'count'],
  },
  handles: [],
  keys: () => [],
  fold: (row) => row,
});

describe('what a writer tells of its write', () => {
  test('is what is found in tables with any keys, several at a position', async () => {
    const house = await openHouse();
    const storage = house.storage();
    await storage.prepare([keyed]);
    const catalog = new Catalog([keyed], storage);
    await catalog.refresh();
    const reader = readModelReader(house.pool, catalog);
    const generation = catalog.serving(keyed);
    await storage.beat({ instance: 'writer', able: [], ttl: 3_600_000 });
    const held = await storage.claim('projection:keyed/1', 'writer');
    if (!held) throw new Error('the checkpoint is not free');
    const row = fc.record({
      name: fc.oneof(
        // Half a character of UTF-16 sorts before what is after all halves, UTF-8 the other way round.
        fc.array(fc.constantFrom('a', 'é', '\uFFEE', '💷', '𐀀'), { maxLength: 3 }).map((all) => all.join('')),
        fc.string({ unit: 'binary', maxLength: 3 }).map((text) => text.replaceAll('\0', '')),
      ),
      amount: fc.oneof(fc.bigInt(-3n, 3n), fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n)),
      count: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      day: fc.constantFrom(new Date(-1), new Date(0), new Date(1), new Date('2026-01-02T03:04:05.678Z')),
      note: fc.constantFrom('', '💷'),
      commit: fc.integer({ min: 1, max: 3 }),
      prepare: fc.integer({ min: 0, max: 9 }),
    });
    let from = held.position;
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 12 }), async (rows) => {
        // Stores that number by bytes have events that were prepared in another order than they were committed.
        const positionOf = (commit: number, prepare: number): Position => ({
          commit: base + BigInt(commit),
          prepare: base + BigInt(prepare),
        });
        const base = from.commit < 0n ? 0n : from.commit;
        const byKey = new Map<string, StoredRow>();
        for (const { commit, prepare, ...values } of rows) {
          const key = [values.name, values.day, values.amount, values.count];
          byKey.set(key.map(String).join('\0') + String(values.day.getTime()), {
            key,
            row: values,
            position: positionOf(commit, prepare),
            isStored: undefined,
          });
        }
        const stored = [...byKey.values()];
        const to = positionOf(3, 9);
        const batch = { model: keyed, generation, held, from, to, rows: stored, parked: [] };
        expect(await storage.write(batch)).toBe(true);
        expect(writtenOf(keyed, generation, from, to, stored)).toEqual(await found(reader, keyed, from));
        from = to;
      }),
      { numRuns: 150 },
    );
  });

  test.each([1, 7, 200])('is what is found of every read model, %i events at a time', async (maxEvents) => {
    const house = await openHouse();
    const storage = house.storage();
    const told = new Map<string, number>();
    const checked: ProjectionStorage = {
      ...storage,
      // Nobody writes to the table before this is answered.
      async write(batch) {
        const isWritten = await storage.write(batch);
        const { model, generation, from, to, rows } = batch;
        const reader = readModelReader(house.pool, catalog);
        const written = writtenOf(model, generation, from, to, rows);
        if (written) expect(written).toEqual(await found(reader, model, from));
        else expect(rows.some(({ row }) => row === undefined)).toBe(true);
        told.set(model.name, (told.get(model.name) ?? 0) + rows.length);
        return isWritten;
      },
    };
    await storage.prepare(readModels);
    const catalog = new Catalog(readModels, storage);
    await catalog.refresh();
    const { start, historian, store } = house;
    await historian.append(someHistory(200, 40 + maxEvents));
    const projections = await start({ storage: checked, limits: { maxEvents } });
    await historian.append(
      fc
        .sample(happening, { numRuns: 60, seed: maxEvents })
        .map((one) => ({ ...one, stream: `${one.stream}-2` })),
    );
    await caughtUp(projections, store);
    expect(house.lines).toEqual([]);
    for (const { name } of readModels) expect(told.get(name), name).toBeGreaterThan(0);
  });

  test('is nothing where rows were removed, or there are many: then it is read', async () => {
    const generation: Generation = {
      ...(await sampleGeneration()),
      incarnation: 3,
    };
    const rows = (count: number): StoredRow[] =>
      Array.from({ length: count }, (_, n) => put(`m${n}`, 1 + (n % 5)));
    const tell = (stored: readonly StoredRow[]) => writtenOf(sample, generation, at(0), at(9), stored);
    expect(tell(rows(most))?.rows).toHaveLength(most);
    expect(tell(rows(most + 1))).toBeUndefined();
    expect(tell([...rows(2), remove('ann', 4)])).toBeUndefined();
    expect(tell([])).toEqual({ after: at(0), through: at(9), incarnation: '1.3', rows: [] });
  });
});

async function sampleGeneration(): Promise<Generation> {
  const { storage } = await openHouse();
  const samples = storage();
  await samples.prepare([sample]);
  await writer(samples, 'a');
  return generationOf(samples, 1);
}
