/** Folding in worker threads: the same tables, to the byte, as without them. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { packEvents, packRows, unpackEvents, unpackRows } from '../../src/projections/engine/packing.ts';
import { partitionOf } from '../../src/projections/engine/partition.ts';
import { keyText } from '../../src/projections/engine/row-key.ts';
import type { FoldThreads } from '../../src/projections/engine/threaded-folder.ts';
import { figures, orders, readModels, statement } from '../../src/projections/index.ts';
import { makeGeneration } from '../../src/projections/postgres/schema.ts';
import { chance } from '../support/chance.ts';
import { logged } from './support/events.ts';
import { happening } from './support/history.ts';
import { orderKeeping, stoppingModels } from './support/thread-models.mjs';
import { flowing, Workshop } from './support/workshop.ts';

/** Ends one of the threads while it folds, every now and then, until so many have ended. */
function withDeaths(threads: FoldThreads, deaths: number, random: () => number): FoldThreads {
  let left = deaths;
  return {
    ...threads,
    open(start) {
      const thread = threads.open(start);
      return {
        close: () => thread.close(),
        async fold(task) {
          const answer = thread.fold(task);
          if (left > 0 && random() < 0.2) {
            left--;
            void thread.close();
          }
          return answer;
        },
      };
    },
  };
}

describe('partitions', () => {
  test('make the same tables and park the same events', async () => {
    const workshop = await Workshop.open(400, 5);
    const alone = await workshop.fold(undefined);
    expect(alone).toMatch(/row:.*no row/);
    expect(alone).toMatch(/stream:.*no key/);
    for (const count of [1, 2, 3]) expect(await workshop.fold(workshop.quickThreads(count))).toBe(alone);
  }, 120_000);

  test('make the same tables in worker threads that end in the middle', async () => {
    const workshop = await Workshop.open(300, 6);
    const some = [...orderKeeping, orders, figures, statement];
    const alone = await workshop.fold(undefined, some);
    for (const count of [1, 2, 3]) {
      const dying = withDeaths(workshop.threads(count), 3, chance(count));
      expect(await workshop.fold(dying, some)).toBe(alone);
    }
  }, 120_000);

  test('make the same tables when generations are built beside those that serve', async () => {
    const workshop = await Workshop.open(400, 9);
    const alone = await workshop.fold(undefined);
    for (const count of [1, 2, 3]) {
      const client = await workshop.pool.connect();
      for (const model of flowing) await makeGeneration(client, model, { state: 'building' });
      client.release();
      const dying = withDeaths(workshop.quickThreads(count), 30, chance(count));
      const projections = await workshop.start(dying, flowing);
      const serving = (): (number | undefined)[] =>
        flowing.map(({ name }) => projections.catalog.findServing(name)?.number);
      await expect.poll(serving, { timeout: 60_000 }).toEqual(flowing.map(() => 1 + count));
      await projections.stop();
      expect(await workshop.dump(flowing, 1 + count)).toBe(alone);
      // Nothing was refused by the table, as a row would be that is copied to where it is already.
      expect(workshop.lines.filter((line) => line.includes('has stopped'))).toEqual([]);
    }
  }, 120_000);

  test('stand still before the same event', async () => {
    const workshop = await Workshop.open(200, 7);
    const stopped: string[] = [];
    for (const threads of [undefined, workshop.quickThreads(2), workshop.quickThreads(3)]) {
      await workshop.pool.query('drop schema if exists tallyback cascade');
      const projections = await workshop.start(threads, stoppingModels);
      const states = (): string[] => projections.status().map(({ state }) => state);
      await expect.poll(states, { timeout: 30_000 }).toEqual(['failed', 'failed']);
      stopped.push(
        JSON.stringify(projections.status().map(({ error, failedAt }) => [error, String(failedAt?.commit)])),
      );
      await projections.stop();
      stopped.push(await workshop.dump(stoppingModels, 1));
    }
    expect(stopped[0]).toContain('no further');
    expect(stopped.slice(2, 4)).toEqual(stopped.slice(0, 2));
    expect(stopped.slice(4, 6)).toEqual(stopped.slice(0, 2));
  }, 60_000);
});

test('a batch that not all threads have folded is seen by nobody', async () => {
  const workshop = await Workshop.open(120, 8);
  const whole = workshop.threads(2);
  let answered = 0;
  // One partition is folded; the thread of the other one always ends first.
  const half: FoldThreads = {
    ...whole,
    open(start) {
      const thread = whole.open(start);
      if (start.partition === 0)
        return { ...thread, fold: (task) => thread.fold(task).finally(() => answered++) };
      return {
        ...thread,
        fold(task) {
          const answer = thread.fold(task);
          void thread.close();
          return answer;
        },
      };
    },
  };
  const projections = await workshop.start(half, orderKeeping);
  await expect.poll(() => answered, { timeout: 30_000 }).toBeGreaterThan(6);
  await projections.stop();
  for (const { name } of orderKeeping) {
    const ahead = await workshop.pool.query(
      `select from tallyback.${name}_1 where position > (
         select split_part(position, '/', 1)::bigint from tallyback.checkpoint where name = $1)`,
      [`projection:${name}/1`],
    );
    expect(ahead.rowCount).toBe(0);
    const handled = await workshop.firstOf(name, 1);
    expect(BigInt((await workshop.position(name)).split('/')[0] ?? '')).toBeLessThan(handled);
  }
  // With threads that live it goes on from there.
  const lasting = await workshop.start(whole, orderKeeping);
  await workshop.reached(lasting, orderKeeping);
  await lasting.stop();
  const halved = await workshop.dump(orderKeeping, 1);
  expect(halved).toBe(await workshop.fold(undefined, orderKeeping));
}, 60_000);

test('threads that cannot even start leave everything as it was', async () => {
  const workshop = await Workshop.open(20, 9);
  const missing = workshop.threads(2, new URL('./support/there-is-none.mjs', import.meta.url));
  const projections = await workshop.start(missing, orderKeeping);
  const states = (): string[] => projections.status().map(({ state }) => state);
  await expect.poll(states, { timeout: 20_000 }).toEqual(['retrying', 'retrying']);
  await projections.stop();
  expect(projections.status()[0]?.error).toMatch(/there-is-none/);
  for (const { name } of orderKeeping) expect(await workshop.position(name)).toBe('-1/-1');
});

test('where streams are dealt out, every row is of one stream', () => {
  fc.assert(
    fc.property(fc.array(happening, { minLength: 50, maxLength: 50, size: 'max' }), (happenings) => {
      const streams = new Map<string, string>();
      const places = logged(happenings.map(({ event }) => event));
      for (const model of readModels.filter(({ partitionBy }) => partitionBy === 'stream')) {
        for (const [i, place] of places.entries()) {
          const stream = happenings[i]?.stream ?? '';
          if (!model.handles.includes(place.event.type)) continue;
          for (const key of model.keys({ ...place, stream })) {
            const row = JSON.stringify([model.name, ...key.map(String)]);
            expect(streams.get(row) ?? stream).toBe(stream);
            streams.set(row, stream);
          }
        }
      }
    }),
    { numRuns: 30 },
  );
});

test('rows and events are the same on the other side', () => {
  const table = {
    columns: {
      a: 'text',
      n: 'integer',
      b: { type: 'bigint', nullable: true },
      at: 'timestamptz',
      yes: 'boolean',
    },
    key: ['a', 'n'],
  } as const;
  const rows = [
    { a: 'ann', n: 1, b: undefined, at: new Date(0), yes: true },
    undefined,
    { a: '', n: -1, b: -(1n << 63n), at: new Date(-1), yes: false },
  ].map((row, i) => ({
    key: row ? [row.a, row.n] : ['gone', 7],
    row,
    position: { commit: 2n ** 62n + BigInt(i), prepare: -1n },
    stored: { yes: [undefined, true, false][i] },
  }));
  const passed = unpackRows(table, structuredClone(packRows(table, rows)));
  expect([...passed]).toStrictEqual(rows.map((row) => [keyText(row.key), row]));
  const events = rows.map(({ position }, revision) => ({
    type: `t${revision}`,
    data: '{}',
    stream: 's',
    revision,
    position,
  }));
  expect(unpackEvents(structuredClone(packEvents(events)))).toStrictEqual(events);
});

test('a partition is a number below their count, and all of them are used', () => {
  for (const count of [1, 2, 3, 8]) {
    const used = new Set(Array.from({ length: 200 }, (_, i) => partitionOf(`account-M${i}~GBP`, count)));
    expect(used).toEqual(new Set(Array.from({ length: count }, (_, i) => i)));
  }
});
