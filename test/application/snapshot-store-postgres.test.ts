/** Snapshots in a real Postgres, of streams in either log. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { commandBus } from '../../src/application/command-bus.ts';
import type { CommandBus, CommandRequest } from '../../src/application/commands.ts';
import { postgresSnapshotStore } from '../../src/application/snapshot-store-postgres.ts';
import { Snapshots } from '../../src/application/snapshots.ts';
import { itemStream } from '../../src/domain/streams.ts';
import { openEventStoreDb } from '../../src/eventstore/eventstoredb/index.ts';
import type { EventStore } from '../../src/eventstore/port.ts';
import { openPostgresEventStore } from '../../src/eventstore/postgres/postgres-event-store.ts';
import { systemTiming } from '../../src/operations/timing.ts';
import { fixtures, realServers } from '../support/eventstoredb-servers.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { item, itemRequest } from './support.ts';

let database: TestDatabase;
let pool: pg.Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  pool = new pg.Pool({ connectionString: database.url, max: 8 });
});
beforeEach(async () => {
  await pool.query('DROP TABLE IF EXISTS tallyback.aggregate_snapshot');
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

describe('the store', () => {
  test('gives back what was kept last, of this stream, to the byte', async () => {
    const store = postgresSnapshotStore(pool);
    const every = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
    const snapshot = { stream: `it's "~%\\é`, revision: 2 ** 31 - 1, seal: every, bytes: every };
    expect(await store.load(snapshot.stream)).toBeUndefined();
    await store.save({ ...snapshot, revision: 7, bytes: Buffer.alloc(0) });
    await store.save({ ...snapshot, stream: 'another', revision: 8 });
    await store.save(snapshot);
    expect(await store.load(snapshot.stream)).toEqual(snapshot);
  });

  test('makes its table whoever comes first, several processes at once', async () => {
    const stores = Array.from({ length: 8 }, () => postgresSnapshotStore(pool));
    const bytes = Buffer.from('x');
    await Promise.all(
      stores.map((store, n) => store.save({ stream: `s${n % 3}`, revision: n, seal: bytes, bytes })),
    );
    const { rows } = await pool.query('SELECT stream FROM tallyback.aggregate_snapshot ORDER BY 1');
    expect(rows).toEqual([{ stream: 's0' }, { stream: 's1' }, { stream: 's2' }]);
  });

  test('that could not make its table tries again', async () => {
    const one = new pg.Pool({ connectionString: database.url, max: 1 });
    await one.query('SET default_transaction_read_only = on');
    const store = postgresSnapshotStore(one);
    await expect(store.load('s')).rejects.toThrow('read-only');
    await one.query('SET default_transaction_read_only = off');
    expect(await store.load('s')).toBeUndefined();
    await one.end();
  });
});

const logs = [
  {
    name: 'Postgres',
    open: async () => {
      const store = await openPostgresEventStore({ connectionString: database.url });
      return { store, stop: () => store.close() };
    },
  },
  ...[...fixtures.slice(0, 1), ...realServers].map((kind) => ({
    name: kind.name,
    open: async () => {
      const server = await kind.start();
      const { connectionString } = server;
      const namespace = `test_${randomUUID().replaceAll('-', '')}`;
      const store = await openEventStoreDb({ connectionString, namespace });
      return {
        store,
        stop: async () => {
          await store.close();
          await server.stop();
        },
      };
    },
  })),
];

describe.each(logs)('with the log in $name', ({ open }) => {
  let store: EventStore;
  let stop: () => Promise<void>;
  let sku = 0;
  beforeAll(async () => {
    ({ store, stop } = await open());
  });
  afterAll(() => stop());

  /** Of the test's own item; `n` makes it one of its own. */
  const deliver = (n: number): CommandRequest => {
    const of = item(`mug-${sku}`);
    return itemRequest(sku * 10_000 + n, { ...of, kind: 'receive', quantity: 1n, reference: '' });
  };
  const reserve = (n: number, quantity: bigint): CommandRequest => {
    const of = item(`mug-${sku}`);
    return itemRequest(sku * 10_000 + n, { ...of, kind: 'reserve', reservationId: `r${n}`, quantity });
  };

  const started = (): { snapshots: Snapshots; bus: CommandBus; lines: string[] } => {
    const lines: string[] = [];
    const snapshots = new Snapshots({
      snapshotStore: postgresSnapshotStore(pool),
      store,
      timing: systemTiming,
      log: (line) => lines.push(line),
    });
    return { snapshots, lines, bus: commandBus({ store, timing: systemTiming, snapshots }) };
  };

  /** A refused request, 1,200 deliveries, and a snapshot of the most of them; the stream's name. */
  async function longStream(): Promise<string> {
    sku++;
    const { bus, snapshots } = started();
    await bus.execute(reserve(0, 5n));
    for (let first = 1; first <= 1_200; first += 100) {
      await Promise.all(Array.from({ length: 100 }, (_, n) => bus.execute(deliver(first + n))));
    }
    const stream = itemStream('shop', `mug-${sku}`);
    await untilKept(stream);
    await snapshots.close();
    return stream;
  }

  async function untilKept(stream: string): Promise<void> {
    for (;;) {
      const { rows } = await pool
        .query('SELECT FROM tallyback.aggregate_snapshot WHERE stream = $1 ', [stream])
        .catch(() => ({ rows: [] }));
      if (rows.length > 0) return;
      await systemTiming.sleep(5);
    }
  }

  async function answersAsBefore(): Promise<void> {
    const { bus, snapshots, lines } = started();
    expect(await bus.execute(reserve(0, 5n))).toMatchObject({ kind: 'refused', duplicate: true });
    for (const n of [1, 700, 1_200]) {
      expect(await bus.execute(deliver(n))).toMatchObject({ kind: 'accepted', duplicate: true, revision: n });
    }
    expect(await bus.execute(reserve(5_000, 1_201n))).toMatchObject({
      kind: 'refused',
      refusal: { message: '1200 on hand, 0 of them reserved' },
    });
    await snapshots.close();
    expect(lines).toEqual([]);
  }

  test('a long stream is read from its snapshot on', async () => {
    const stream = await longStream();
    const restored = await started().snapshots.restore('item', stream);
    expect(restored).toMatchObject({ revision: 1_200, kind: 'item' });
    expect(restored?.snapshotRevision).toBeGreaterThanOrEqual(499);
    expect(restored?.requests.memory.ids.length).toBe(1_201);
    await answersAsBefore();
  });

  test.each([
    ['damaged', 'state = set_byte(state, 40, 255 - get_byte(state, 40))'],
    ['empty', `state = ''`],
    ['of another event', 'revision = revision - 1'],
    ['ahead of the log', 'revision = 1000000'],
  ])('one that is %s is not used', async (_, change) => {
    const stream = await longStream();
    await pool.query(`UPDATE tallyback.aggregate_snapshot SET ${change} WHERE stream = $1`, [stream]);
    expect(await started().snapshots.restore('item', stream)).toBeUndefined();
    await answersAsBefore();
  });

  test('a table that is gone while the server runs costs nothing but a line', async () => {
    const stream = await longStream();
    const { snapshots, lines } = started();
    expect(await snapshots.restore('item', stream)).toBeDefined();
    await pool.query('DROP TABLE tallyback.aggregate_snapshot');
    expect(await snapshots.restore('item', stream)).toBeUndefined();
    expect(lines).toEqual([expect.stringContaining('does not exist')]);
    await answersAsBefore();
  });
});
