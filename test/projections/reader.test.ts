import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { comparePositions } from '../../src/eventstore/port.ts';
import type { Columns, Key, ReadModel } from '../../src/projections/engine/read-model.ts';
import type { ChangeCursor, Filter, ReadModelReader } from '../../src/projections/engine/reading.ts';
import { balance, figures, leaderboard, programme, stock } from '../../src/projections/index.ts';
import { day, event, level } from './support/events.ts';
import { caughtUp, openHouse } from './support/house.ts';
import { type Happening, someHistory } from './support/history.ts';

const never = new AbortController().signal;

/** All rows in pages of that size. */
async function all<C extends Columns>(
  reader: ReadModelReader,
  model: ReadModel<C>,
  limit: number,
  between: () => Promise<unknown> = () => Promise.resolve(),
) {
  const rows = [];
  let after: Key | undefined;
  for (;;) {
    const page = await reader.list(model, { after, limit });
    rows.push(...page.rows);
    if (!page.next) return rows;
    after = page.next;
    await between();
  }
}

const sold = (sku: string, quantity = 1n): Happening => ({
  stream: `item-${sku}`,
  event: event('StockSold', { level: level({ sku }), quantity, occurredAt: day(0) }),
});

describe('one row, lists, pages', () => {
  test('values come back as they went in', async () => {
    const { store, historian, start } = await openHouse();
    const projections = await start();
    const { reader } = projections;
    const tricky = 'a "b" \\ {c,d} \n NULL é 💷';
    await historian.append([
      sold(tricky, -(2n ** 63n)),
      {
        stream: 'programme-shop',
        event: event('RuleSetPublished', {
          merchant: 'shop',
          version: 7,
          validFrom: new Date('1899-12-31T23:59:59.001Z'),
          rules: [{ ruleId: tricky, categories: [], skus: [], excludedSkus: [], rateBps: 1 }],
        }),
      },
    ]);
    await caughtUp(projections, store);
    const head = await store.head();
    const item = await reader.get(stock, ['shop', tricky]);
    expect(item).toMatchObject({
      row: { sku: tricky, sold: -(2n ** 63n), allow_negative: true, changed_at: day(0), revision: 0n },
      through: head,
    });
    const { row } = await reader.get(programme, ['shop', 7]);
    expect(row).toMatchObject({ valid_from: new Date('1899-12-31T23:59:59.001Z'), valid_until: undefined });
    expect(JSON.parse(row?.rules ?? '')).toEqual([{ ruleId: tricky, rateBps: 1 }]);
    expect(await reader.get(stock, ['shop', 'none'])).toEqual({ row: undefined, through: head });
    await expect(reader.get(stock, ['shop'])).rejects.toThrow('a key of stock has 2 values');
  });

  test('filters: equal, one of, from and until; ordered by score', async () => {
    const { store, historian, start } = await openHouse();
    const projections = await start();
    const { reader } = projections;
    await historian.append([sold('a', 5n), sold('b', 9n), sold('c', 5n), sold('d', 1n)]);
    await historian.append(someHistory(300, 11).filter((one) => one.event.type === 'OrderTracked'));
    await caughtUp(projections, store);

    const skus = async (filter: Filter<(typeof stock)['table']['columns']>) =>
      (await reader.list(stock, { filter, limit: 100 })).rows.map(({ sku }) => sku);
    expect(await skus({ merchant: 'shop', sku: 'b' })).toEqual(['b']);
    expect(await skus({ sku: { in: ['d', 'a', 'x'] } })).toEqual(['a', 'd']);
    expect(await skus({ sku: { in: [] } })).toEqual([]);
    expect(await skus({ sku: { from: 'b', until: 'd' } })).toEqual(['b', 'c']);
    expect(await skus({ sold: { from: 5n } })).toEqual(['a', 'b', 'c']);

    const board = { board: 'BOARD_ITEMS_BY_UNITS', merchant: 'shop', month: '' };
    const leaders = await reader.list(leaderboard, {
      filter: board,
      limit: 3,
      orderBy: [{ column: 'score', descending: true }],
    });
    expect(leaders.rows.map(({ subject }) => subject)).toEqual(['b', 'a', 'c']);
    expect(leaders.next).toBeUndefined();
    // Who compares two answers must know whether both are of the same making.
    const changes = await reader.changes(leaderboard, {}, { position: leaders.through, key: undefined }, 1);
    expect(leaders.incarnation).toBe(changes.incarnation);

    const days = await reader.list(figures, {
      filter: { length: 'day', start: { from: day(3), until: day(9) } },
      limit: 1_000,
    });
    expect(days.rows.length).toBeGreaterThan(3);
    for (const { length, start: at } of days.rows) {
      expect(length).toBe('day');
      expect(at.getTime()).toBeGreaterThanOrEqual(day(3).getTime());
      expect(at.getTime()).toBeLessThan(day(9).getTime());
    }
    // Dates are part of this key: pages go on after one.
    expect(await all(reader, figures, 7)).toEqual(await all(reader, figures, 10_000));
  });

  test('pages leave out no row that was there, however many come in between', async () => {
    const { store, historian, start } = await openHouse();
    const projections = await start({ models: [stock] });
    const sku = (n: number): string => `sku${String(n).padStart(3, '0')}`;
    const there = Array.from({ length: 50 }, (_, i) => sku(i * 10));
    await historian.append(there.map((one) => sold(one)));
    await caughtUp(projections, store, [stock]);
    let n = 0;
    const rows = await all(projections.reader, stock, 3, async () => {
      const more = [sku((n * 37) % 500), sku((n * 91) % 500)];
      n++;
      await historian.append(more.map((one) => sold(one)));
      await caughtUp(projections, store, [stock]);
    });
    const read = rows.map((row) => row.sku);
    expect(there.filter((one) => !read.includes(one))).toEqual([]);
    expect([...new Set(read)].toSorted()).toEqual(read);
  });
});

describe('snapshots and changes', () => {
  test('a snapshot and the changes after it make the table, whatever is committed meanwhile', async () => {
    const { store, historian, start } = await openHouse();
    const projections = await start({ models: [balance], limits: { maxEvents: 4 } });
    const { reader } = projections;
    const history = someHistory(600, 12);
    const writing = (async () => {
      for (let i = 0; i < history.length; i += 20) await historian.append(history.slice(i, i + 20));
    })();
    const watch = async (limit: number, filter: { readonly currency?: string }) => {
      const seen = new Map<string, unknown>();
      const see = (rows: readonly { readonly member: string; readonly currency: string }[]): void => {
        for (const row of rows) seen.set(`${row.currency} ${row.member}`, row);
      };
      const { through, pages } = await reader.snapshot(balance, filter, never);
      for await (const page of pages) see(page);
      let cursor: ChangeCursor = { position: through, key: undefined };
      let last = through;
      for (;;) {
        const page = await reader.changes(balance, filter, cursor, limit);
        see(page.rows);
        expect(comparePositions(page.through, last)).toBeGreaterThanOrEqual(0);
        expect(comparePositions(page.cursor.position, cursor.position)).toBeGreaterThanOrEqual(0);
        cursor = page.cursor;
        last = page.through;
        if (page.end && last.commit >= BigInt(history.length)) break;
        if (page.end) await new Promise((resolve) => setTimeout(resolve, 1));
      }
      return seen;
    };
    const watches = await Promise.all([watch(1, {}), watch(3, { currency: 'GBP' }), watch(1_000, {})]);
    await writing;
    await caughtUp(projections, store, [balance]);
    const rows = await all(reader, balance, 100);
    const table = new Map(rows.map((row) => [`${row.currency} ${row.member}`, row]));
    const pounds = new Map([...table].filter(([key]) => key.startsWith('GBP')));
    const sorted = (map: ReadonlyMap<string, unknown>) => [...map].toSorted(([a], [b]) => (a < b ? -1 : 1));
    expect(watches.map(sorted)).toEqual([table, pounds, table].map(sorted));
  });

  test('changes in pages of any size are the changes in one', async () => {
    const { store, historian, start } = await openHouse();
    const projections = await start({ models: [balance, figures], limits: { maxEvents: 3 } });
    await historian.append(someHistory(300, 13));
    await caughtUp(projections, store, [balance, figures]);
    const { reader } = projections;
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 20 }).map((n) => n * n),
        fc.bigInt(-1n, 310n),
        async (limit, from) => {
          const models: readonly ReadModel[] = [balance, figures];
          for (const model of models) {
            const begin = { position: { commit: from, prepare: from }, key: undefined };
            const whole = await reader.changes(model, {}, begin, 100_000);
            const rows = [];
            let cursor: ChangeCursor = begin;
            for (let end = false; !end;) {
              const page = await reader.changes(model, {}, cursor, limit);
              rows.push(...page.rows);
              ({ cursor, end } = page);
            }
            expect(rows).toEqual(whole.rows);
            expect(cursor).toEqual(whole.cursor);
          }
        },
      ),
      { numRuns: 10 },
    );
  });

  test('a snapshot is of one moment, and gives its connection back', async () => {
    const { store, historian, start, pool } = await openHouse();
    const projections = await start({ models: [stock] });
    const { reader } = projections;
    await historian.append(
      Array.from({ length: 2_500 }, (_, i) => ({ ...sold(`sku${i}`), stream: 'item-all' })),
    );
    await caughtUp(projections, store, [stock]);
    const inUse = (): number => pool.totalCount - pool.idleCount;

    const { through, pages } = await reader.snapshot(stock, {}, never);
    await historian.append([sold('sku0', 5n), sold('new')]);
    await caughtUp(projections, store, [stock]);
    const rows = [];
    for await (const page of pages) rows.push(...page);
    expect(rows).toHaveLength(2_500);
    expect(rows.reduce((sum, row) => sum + row.sold, 0n)).toBe(2_500n);
    expect(through.commit).toBe(2_500n);

    // Broken off, aborted before reading, aborted while reading.
    const brokenOff = await reader.snapshot(stock, {}, never);
    for await (const page of brokenOff.pages) {
      expect(page).toHaveLength(1_000);
      break;
    }
    const early = new AbortController();
    await reader.snapshot(stock, {}, early.signal);
    early.abort();
    const late = new AbortController();
    const aborted = await reader.snapshot(stock, {}, late.signal);
    await expect(
      (async () => {
        for await (const _ of aborted.pages) late.abort(new Error('enough'));
      })(),
    ).rejects.toThrow('enough');
    await expect(reader.snapshot(stock, {}, late.signal)).rejects.toThrow('enough');
    await projections.stop();
    while (inUse() > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  });
});
