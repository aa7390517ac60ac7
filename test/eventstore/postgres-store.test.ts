/** What only the Postgres event store promises, apart from interleavings. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EventStore, LogBatch } from '../../src/eventstore/port.ts';
import { logStart, noStream } from '../../src/eventstore/port.ts';
import {
  openPostgresEventStore,
  type PostgresEventStoreOptions,
} from '../../src/eventstore/postgres/postgres-event-store.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { append, follow, idsOf, newEvent, newEvents, newStream, toArray } from './samples.ts';
import { Sessions } from './sessions.ts';

let database: TestDatabase;
let sessions: Sessions;
const cleanups: (() => Promise<void>)[] = [];

beforeEach(async () => {
  database = await createTestDatabase();
  sessions = await Sessions.connect(database.url);
  cleanups.push(() => sessions.client.end());
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  await database.drop();
});

async function open(options: PostgresEventStoreOptions = {}): Promise<EventStore> {
  const store = await openPostgresEventStore({ connectionString: database.url, ...options });
  cleanups.push(() => store.close());
  return store;
}

const upToNow = (_: unknown, batch: LogBatch): boolean => batch.caughtUp;

describe('opening', () => {
  it('makes one log when several processes start at the same instant', async () => {
    const stores = await Promise.all(Array.from({ length: 6 }, () => open()));
    expect(new Set(stores.map((store) => store.id)).size).toBe(1);
    const again = await open();
    expect(again.id).toBe(stores[0]?.id);
  });

  it('tells two logs apart', async () => {
    const other = await createTestDatabase();
    const [a, b] = [await open(), await openPostgresEventStore({ connectionString: other.url })];
    expect(a.id).not.toBe(b.id);
    await b.close();
    await other.drop();
  });

  it('says when there is no server', async () => {
    const nowhere = openPostgresEventStore({ connectionString: 'postgresql://nobody@127.0.0.1:1/none' });
    await expect(nowhere).rejects.toMatchObject({ name: 'EventStoreUnavailable' });
  });

  it('refuses a database that cannot hold all characters', async () => {
    await sessions.client.query('DROP SCHEMA IF EXISTS tallyback_log CASCADE');
    const name = `ascii_${Date.now()}`;
    await sessions.client.query(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'`);
    const url = new URL(database.url);
    url.pathname = `/${name}`;
    await expect(openPostgresEventStore({ connectionString: url.href })).rejects.toThrow(/UTF8/);
    await sessions.client.query(`DROP DATABASE ${name}`);
  });

  it('is not moved by the defaults of the database', async () => {
    const name = new URL(database.url).pathname.slice(1);
    for (const setting of [
      `default_transaction_isolation = 'serializable'`,
      `timezone = 'Asia/Kathmandu'`,
      `datestyle = 'German'`,
      `synchronous_commit = off`,
    ]) {
      await sessions.client.query(`ALTER DATABASE ${name} SET ${setting}`);
    }
    const [a, b] = [await open(), await open()];
    const results = await Promise.all(
      Array.from({ length: 40 }, (_, n) => append(n % 2 ? a : b, newStream(), noStream, newEvents(1))),
    );
    const seen = await follow(a, logStart, upToNow);
    expect(new Set(idsOf(seen))).toEqual(new Set(results.flatMap((events) => idsOf(events))));
    expect(Math.abs(Date.now() - (seen[0]?.recordedAt.getTime() ?? 0))).toBeLessThan(3_600_000);
  });
});

describe('one batch', () => {
  it('settles every kind of member on its own, and stores the good ones without a hole', async () => {
    const store = await open();
    const old = newEvents(2);
    const [taken] = [newEvent()];
    await append(store, 'old', noStream, old);
    await append(store, 'taken', noStream, [taken]);
    const shared = newEvent();
    const results = await Promise.all([
      store.append('good-1', noStream, newEvents(2)),
      store.append('old', noStream, old),
      store.append('good-2', noStream, newEvents(1)),
      store.append('conflict', 3, newEvents(1)),
      store.append('steals', noStream, [newEvent(), taken]),
      store.append('shares-1', noStream, [newEvent(), shared]),
      store.append('shares-2', noStream, [shared]),
      store.append('good-3', noStream, newEvents(1)),
    ]);
    expect(results.map((result) => result.kind)).toEqual([
      'appended',
      'appended',
      'appended',
      'conflict',
      'id-in-use',
      'appended',
      'id-in-use',
      'appended',
    ]);
    expect(results[4]).toEqual({ kind: 'id-in-use', id: taken.id, stream: 'taken', revision: 0 });
    expect(results[6]).toEqual({ kind: 'id-in-use', id: shared.id, stream: 'shares-1', revision: 1 });
    const seen = await follow(await open(), logStart, upToNow);
    expect(seen.map((event) => Number(event.position.commit))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const told = results.flatMap((result) => (result.kind === 'appended' ? [result.position] : []));
    const ends = seen.map((event) => event.position);
    for (const position of told) expect(ends).toContainEqual(position);
  });

  it('takes appends for one stream one after the other', async () => {
    const store = await open();
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, n) => store.append('chain', n - 1, newEvents(1))),
    );
    expect(results.every((result) => result.kind === 'appended')).toBe(true);
  });
});

describe('reading', () => {
  it('gives live readers and later ones equal events, times and ids included', async () => {
    const store = await open();
    const live = follow(store, logStart, (events) => events.length >= 30);
    for (let n = 0; n < 10; n++) {
      const events = newEvents(3).map((event) => ({ ...event, id: event.id.toUpperCase() }));
      await append(store, 'times', n * 3 - 1, events);
    }
    const reread = await follow(await open(), logStart, upToNow);
    expect(await live).toEqual(reread);
    const times = reread.map((event) => event.recordedAt.getTime());
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    const finer = await sessions.client.query(
      `SELECT FROM tallyback_log.events WHERE recorded_at <> date_trunc('milliseconds', recorded_at)`,
    );
    expect(finer.rowCount).toBe(0);
  });

  it('cuts pages of large events short', async () => {
    const store = await open({ tail: { length: 100_000 } });
    const data = JSON.stringify('x'.repeat(1_000_000));
    for (let n = 0; n < 40; n += 4) {
      await append(
        store,
        'large',
        n - 1,
        Array.from({ length: 4 }, () => newEvent({ data })),
      );
    }
    const sizes: number[] = [];
    const seen = await follow(store, logStart, (events) => events.length >= 40, {
      onBatch: (batch) => void sizes.push(batch.events.length),
    });
    expect(seen.map((event) => event.revision)).toEqual(Array.from({ length: 40 }, (_, n) => n));
    expect(Math.max(...sizes)).toBeLessThan(12);
    expect(await toArray(store.readStream('large'))).toHaveLength(40);
  });

  it('stops at a hole in the log instead of stepping over it', async () => {
    const store = await open();
    await append(store, 's', noStream, newEvents(10));
    await sessions.client.query('DELETE FROM tallyback_log.events WHERE position = 5');
    const fresh = await open();
    await expect(follow(fresh, logStart, upToNow)).rejects.toMatchObject({ name: 'LogDamaged' });
  });

  it('waits with a position the log has not reached', async () => {
    const store = await open();
    const after = { commit: 3n, prepare: 3n };
    const batches: LogBatch[] = [];
    const seen = await follow(store, after, (events) => events.length > 0, {
      onBatch: async (batch) => {
        if (batches.push(batch) === 1) await append(store, 's', noStream, newEvents(5));
      },
    });
    expect(batches[0]).toEqual({ events: [], through: after, caughtUp: true });
    expect(seen.map((event) => Number(event.position.commit))).toEqual([4, 5]);
  });

  it('ends subscriptions loudly when the store is closed under them', async () => {
    const store = await openPostgresEventStore({ connectionString: database.url });
    const reading = follow(store, logStart, () => false, { onBatch: () => void store.close() });
    await expect(reading).rejects.toMatchObject({ name: 'EventStoreUnavailable' });
    await store.close();
  });

  it('leaves no session behind after closing', async () => {
    const store = await openPostgresEventStore({ connectionString: database.url });
    await append(store, 's', noStream, newEvents(1));
    await follow(store, logStart, upToNow);
    await store.close();
    // The server takes a moment to notice.
    await sessions.until(
      `SELECT count(*) = 1 AS yes FROM pg_stat_activity WHERE datname = current_database()`,
    );
    for (const role of ['append', 'read', 'listen']) expect(await sessions.pids(role)).toEqual([]);
  });
});
