/** Queries that never stop, while the tables they read from are replaced and dropped under them. */
import { expect, test, vi } from 'vitest';
import { comparePositions, logStart, type Position } from '../../src/eventstore/port.ts';
import type { ChangeCursor } from '../../src/projections/engine/reading.ts';
import { checkpointName } from '../../src/projections/engine/storage.ts';
import { dropTable } from '../../src/projections/postgres/rebuilds.ts';
import { inTransaction } from '../../src/projections/postgres/transaction.ts';
import { caughtUp, type House, openHouse, serves, type Started, until } from './support/house.ts';
import { someHistory } from './support/history.ts';
import { tally } from './support/tally.ts';

vi.setConfig({ testTimeout: 180_000 });

const models = [tally];

/** As an operator does with what is kept: at once, whoever may still read from it. */
async function dropKept(house: House): Promise<void> {
  const { rows } = await house.pool.query<{ number: number; table: string }>(
    `select number, table_name as table from tallyback.generation where state = 'kept'`,
  );
  for (const { number, table } of rows) {
    await inTransaction(house.pool, async (client) => {
      await client.query('delete from tallyback.checkpoint where name = $1', [`projection:tally/${number}`]);
      await dropTable(client, { model: 'tally', number, table });
    });
  }
}

test('no query fails, none is set back, and who follows changes hears that they are of another making', async () => {
  const house = await openHouse();
  const history = someHistory(4_000, 81);
  await house.historian.append(history.splice(0, 500));
  // One that builds, and one that only reads and hears of everything late.
  const builder = await house.start({ models, limits: { maxEvents: 50 } });
  const late = await house.start({ models, projects: false, delays: { beat: 60_000, lease: 600_000 } });
  await caughtUp(builder, house.store, models);
  const over = new AbortController();
  const rounds = new Map<string, number>();
  const forward = (name: string, last: Position, next: Position): Position => {
    expect(comparePositions(next, last), name).toBeGreaterThanOrEqual(0);
    rounds.set(name, (rounds.get(name) ?? 0) + 1);
    return next;
  };
  const loop = async (name: string, read: () => Promise<Position>): Promise<void> => {
    let last = logStart;
    while (!over.signal.aborted) last = forward(name, last, await read());
  };
  const [some] = (await builder.reader.list(tally, { limit: 1 })).rows;
  const stream = some?.stream ?? '';
  const incarnations = new Set<string>();

  const seen = [new Map<string, bigint>(), new Map<string, bigint>()];

  /** A snapshot, and the changes after it, until they are of another making. */
  const follow = async ({ reader }: Started, known: Map<string, bigint>): Promise<Position> => {
    const { pages, ...moment } = await reader.snapshot(tally, {}, new AbortController().signal);
    const rows = new Map<string, bigint>();
    for await (const page of pages) for (const row of page) rows.set(row.stream, row.events);
    let cursor: ChangeCursor = { position: moment.through, key: undefined };
    incarnations.add(moment.incarnation);
    for (;;) {
      const page = await reader.changes(tally, {}, cursor, 20);
      if (page.incarnation !== moment.incarnation) return moment.through;
      for (const row of page.rows) rows.set(row.stream, row.events);
      // A count may not be set back: each row only ever counts more.
      if (page.end) {
        for (const [key, events] of rows) {
          expect(events).toBeGreaterThanOrEqual(known.get(key) ?? 0n);
          known.set(key, events);
        }
      }
      cursor = page.cursor;
      if (over.signal.aborted && page.end) return page.through;
    }
  };

  const reading = [builder, late].flatMap((one, n) => [
    loop(`get ${n}`, async () => {
      const { row, through } = await one.reader.get(tally, [stream]);
      expect(row).toBeDefined();
      return through;
    }),
    loop(`list ${n}`, async () => {
      const { rows, through } = await one.reader.list(tally, { limit: 1_000 });
      expect(rows.length).toBeGreaterThan(10);
      return through;
    }),
    loop(`follow ${n}`, () => follow(one, seen[n] ?? new Map())),
    loop(`reached ${n}`, async () => {
      // What is promised to be there is there.
      const head = await house.store.head();
      await one.progress.reached(checkpointName(tally), head, AbortSignal.timeout(100_000));
      const { through } = await one.reader.list(tally, { limit: 1 });
      expect(comparePositions(through, head)).toBeGreaterThanOrEqual(0);
      return head;
    }),
  ]);
  const writing = (async () => {
    while (!over.signal.aborted && history.length > 0) await house.historian.append(history.splice(0, 10));
  })();
  for (let number = 2; number <= 7; number++) {
    expect(await house.askForRebuild(models)).toEqual([number]);
    await until(() => serves(builder, tally) === number);
    await dropKept(house);
  }
  await caughtUp(builder, house.store, models);
  over.abort();
  await Promise.all([...reading, writing]);
  expect(rounds.size).toBe(8);
  expect(incarnations.size).toBeGreaterThan(3);
  const last = await house.start({ models });
  await caughtUp(last, house.store, models);
  await Promise.all([builder.stop(), last.stop()]);
  const before = await house.dump(models);
  await house.rebuild(models);
  expect(await house.dump(models)).toBe(before);
});

test('a snapshot that is being read goes on to its end, whatever becomes of its table meanwhile', async () => {
  const house = await openHouse();
  await house.historian.append(someHistory(300, 82));
  const running = await house.start({ models });
  await caughtUp(running, house.store, models);
  const { pages, through } = await running.reader.snapshot(tally, {}, new AbortController().signal);
  await house.askForRebuild(models);
  await until(() => serves(running, tally) === 2);
  const dropping = dropKept(house);
  const rows = [];
  for await (const page of pages) rows.push(...page);
  await dropping;
  const after = await running.reader.list(tally, { limit: 1_000 });
  expect(rows).toEqual(after.rows);
  expect(through).toEqual(after.through);
});
