/** What makes a naive log on Postgres skip, reorder or double events, provoked step by step. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EventStore, RecordedEvent } from '../../src/eventstore/port.ts';
import { logStart, noStream } from '../../src/eventstore/port.ts';
import {
  openPostgresEventStore,
  type PostgresEventStoreOptions,
} from '../../src/eventstore/postgres/postgres-event-store.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import {
  append,
  checkStreams,
  follow,
  idsOf,
  newEvent,
  newEvents,
  newStream,
  rejection,
  toArray,
} from './samples.ts';
import { Sessions } from './sessions.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const appendLock = 7308332185;

let database: TestDatabase;
let sessions: Sessions;
const cleanups: (() => Promise<void>)[] = [];

beforeEach(async () => {
  database = await createTestDatabase();
  sessions = await connectSessions();
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  await database.drop();
});

async function connectSessions(): Promise<Sessions> {
  const connected = await Sessions.connect(database.url);
  cleanups.push(() => connected.client.end());
  return connected;
}

async function open(options: PostgresEventStoreOptions = {}): Promise<EventStore> {
  const store = await openPostgresEventStore({ connectionString: database.url, ...options });
  cleanups.push(() => store.close());
  return store;
}

async function openProxy(): Promise<TcpProxy> {
  const proxy = await TcpProxy.before(database.url);
  cleanups.push(() => proxy.close());
  return proxy;
}

const pollingOff = { pollLeast: 3_600_000, pollMost: 3_600_000 };

describe('order', () => {
  it('keeps an uncommitted append of another session before all that come later', async () => {
    const store = await open();
    const seen: RecordedEvent[] = [];
    const reading = follow(store, logStart, (events) => events.length >= 3, {
      onBatch: (batch) => void seen.push(...batch.events),
    });

    // A process that has done its insert, position taken, and hangs just before its commit.
    const slow = newEvent();
    await sessions.client.query('BEGIN');
    await sessions.client.query(
      `SELECT * FROM tallyback_log.append_batch('slow', '{-1}', '{1}', '{1}', 'slow', '{0}', $1, 'T', '{}', '{}')`,
      [[slow.id]],
    );
    const observer = await connectSessions();
    const later = newEvents(2);
    const appending = append(store, 'fast', noStream, later);
    await observer.waitForBlocked(1);
    expect(await store.head()).toEqual(logStart);
    expect(seen).toEqual([]);

    await sessions.client.query('COMMIT');
    await appending;
    expect(idsOf(await reading)).toEqual(idsOf([slow, ...later]));
  });

  it('gives positions no hole for an append that was rolled back', async () => {
    const store = await open();
    await sessions.client.query('BEGIN');
    await sessions.client.query(
      `SELECT * FROM tallyback_log.append_batch('x', '{-1}', '{1}', '{1}', 'x', '{0}', $1, 'T', '{}', '{}')`,
      [[newEvent().id]],
    );
    await sessions.client.query('ROLLBACK');
    const [event] = await append(store, 'y', noStream, newEvents(1));
    expect(event?.position.commit).toBe(1n);
    expect(await follow(store, logStart, (_, batch) => batch.caughtUp)).toEqual([event]);
  });

  it('does not wait for open transactions elsewhere, in this database or another', async () => {
    const other = await createTestDatabase();
    const elsewhere = await Sessions.connect(other.url);
    for (const { client } of [sessions, elsewhere]) {
      await client.query('CREATE TABLE work (n int)');
      await client.query('BEGIN');
      await client.query('INSERT INTO work VALUES (1)');
    }
    const [a, b] = [await open(), await open()];
    const stored = await append(a, newStream(), noStream, newEvents(2));
    expect(await follow(b, logStart, (events) => events.length >= 2)).toEqual(stored);
    await elsewhere.client.end();
    await other.drop();
  });

  it('commits in the order of the lock, whoever waited', async () => {
    const [a, b] = [await open(), await open()];
    const reader = await open({ tail: { events: 4 } });
    const reading = follow(reader, logStart, (events) => events.length >= 60);
    for (let round = 0; round < 10; round++) {
      await sessions.client.query('SELECT pg_advisory_lock($1)', [appendLock]);
      const appends = [a, b].map((store) => append(store, newStream(), noStream, newEvents(3)));
      await sessions.waitForBlocked(2);
      await sessions.client.query('SELECT pg_advisory_unlock($1)', [appendLock]);
      await Promise.all(appends);
    }
    const seen = await reading;
    expect(seen.map((event) => Number(event.position.commit))).toEqual(
      Array.from({ length: 60 }, (_, n) => n + 1),
    );
  });

  it.each([{ events: 16_384 }, { events: 32 }, { events: 32, listen: false }])(
    'shows all readers one order while two processes append (ring %o)',
    async (tail) => {
      const [one, two] = [await open(), await open()];
      const onlyListening = { ...tail, ...pollingOff, listen: true };
      const stores = [one, two, await open({ tail }), await open({ tail: onlyListening })];
      const total = 2_400;
      const readings = stores.map((store) => follow(store, logStart, (events) => events.length >= total));
      await Promise.all(
        Array.from({ length: 12 }, async (_, n) => {
          const stream = newStream();
          const writer = n % 2 ? one : two;
          for (let revision = -1; revision < 199; revision += 2) {
            await append(writer, stream, revision, newEvents(2));
          }
        }),
      );
      const [first, ...others] = await Promise.all(readings);
      expect(first?.map((event) => Number(event.position.commit))).toEqual(
        Array.from({ length: total }, (_, n) => n + 1),
      );
      checkStreams(first ?? []);
      for (const other of others) expect(other).toEqual(first);
    },
  );
});

describe('lost connections', () => {
  it('rejects an append whose session is killed, and settles it by the same ids', async () => {
    const store = await open();
    const stream = newStream();
    const events = newEvents(3);
    await sessions.client.query('SELECT pg_advisory_lock($1)', [appendLock]);
    const lost = rejection(store.append(stream, noStream, events));
    await sessions.waitForBlocked(1);
    await sessions.terminate('append');
    expect(await lost).toMatchObject({ name: 'EventStoreUnavailable' });
    await sessions.client.query('SELECT pg_advisory_unlock($1)', [appendLock]);

    await append(store, stream, noStream, events);
    expect(idsOf(await toArray(store.readStream(stream)))).toEqual(idsOf(events));
  });

  it('settles an append that was stored while its answer got lost', async () => {
    const proxy = await openProxy();
    const store = await open({ connectionString: proxy.urlFor(database.url) });
    const direct = await open();
    const stream = newStream();
    const events = newEvents(2);
    proxy.loseAnswers = true;
    proxy.onLost = () => proxy.cutAll();
    await expect(store.append(stream, noStream, events)).rejects.toMatchObject({
      name: 'EventStoreUnavailable',
    });
    proxy.loseAnswers = false;
    const stored = await toArray(direct.readStream(stream));
    expect(idsOf(stored)).toEqual(idsOf(events));

    await append(direct, stream, 1, newEvents(1));
    expect(await append(store, stream, noStream, events)).toEqual(stored);
  });

  it('settles an append whose straggler arrives after the retry', async () => {
    const proxy = await openProxy();
    const store = await open({ connectionString: proxy.urlFor(database.url) });
    const stream = newStream();
    const events = newEvents(2);
    await sessions.client.query('SELECT pg_advisory_lock($1)', [appendLock]);
    const lost = rejection(store.append(stream, noStream, events));
    await sessions.waitForBlocked(1);
    // The client is gone; the server works on.
    proxy.cutAll();
    expect(await lost).toMatchObject({ name: 'EventStoreUnavailable' });
    const retry = append(store, stream, noStream, events);
    await sessions.waitForBlocked(2);
    await sessions.client.query('SELECT pg_advisory_unlock($1)', [appendLock]);
    const stored = await retry;
    await sessions.waitForBlocked(0);
    expect(await toArray(store.readStream(stream))).toEqual(stored);
    expect(await follow(store, logStart, (_, batch) => batch.caughtUp)).toEqual(stored);
  });

  it('gives up on a server that no longer answers', async () => {
    const proxy = await openProxy();
    const store = await open({ connectionString: proxy.urlFor(database.url), appendTimeout: 100 });
    const stream = newStream();
    const events = newEvents(1);
    proxy.frozen = true;
    await expect(store.append(stream, noStream, events)).rejects.toMatchObject({
      name: 'EventStoreUnavailable',
    });
    proxy.frozen = false;
    await append(store, stream, noStream, events);
  });

  it('survives the end of all its sessions, busy or idle', async () => {
    const store = await open();
    const total = 200;
    const reading = follow(store, logStart, (events) => events.length >= total, { maxBatch: 10 });
    for (let n = 0; n < total; n++) {
      if (n % 40 === 20) for (const role of ['append', 'read', 'listen']) await sessions.terminate(role);
      const event = newEvent();
      await expect
        .poll(() => store.append('s', n - 1, [event]).catch(() => undefined))
        .toMatchObject({
          kind: 'appended',
        });
    }
    const seen = await reading;
    expect(seen.map((event) => event.revision)).toEqual(Array.from({ length: total }, (_, n) => n));
  });

  it('reads on where it was when its reading sessions are killed', async () => {
    const writer = await open();
    const total = 12_000;
    for (let n = 0; n < total; n += 1_000) await append(writer, 'long', n - 1, newEvents(1_000));
    const reader = await open({ tail: { events: 16 } });
    let killed = 0;
    const seen = await follow(reader, logStart, (events) => events.length >= total, {
      onBatch: async () => {
        killed += await sessions.terminate('read');
      },
    });
    expect(seen.map((event) => event.revision)).toEqual(Array.from({ length: total }, (_, n) => n));
    expect(killed).toBeGreaterThan(0);
  });

  it('starts although nothing can be read yet, and heals', async () => {
    const proxy = await openProxy();
    const store = await open({ connectionString: proxy.urlFor(database.url), connectTimeout: 300 });
    const stored = await append(store, newStream(), noStream, newEvents(1));
    proxy.frozen = true;
    proxy.cutAll();
    const reading = follow(store, logStart, (_, batch) => batch.caughtUp);
    await expect(store.head()).rejects.toMatchObject({ name: 'EventStoreUnavailable' });
    proxy.frozen = false;
    expect(await reading).toEqual(stored);
  });
});

describe('wake-up between processes', () => {
  it('listens again after its session was killed (no polling to help)', async () => {
    const writer = await open();
    const reader = await open({ tail: pollingOff });
    const total = 4;
    let round = 0;
    const seen = await follow(reader, logStart, (events) => events.length >= total, {
      onBatch: async () => {
        if (round++ >= total) return;
        await sessions.waitForSession('listen');
        const [before] = await sessions.pids('listen');
        await sessions.terminate('listen');
        await sessions.until(
          `SELECT count(*) > 0 AS yes FROM pg_stat_activity WHERE datname = current_database()
            AND application_name = 'tallyback-log-listen' AND pid <> ${before} AND query LIKE 'LISTEN%'`,
        );
        await append(writer, newStream(), noStream, newEvents(1));
      },
    });
    expect(seen).toHaveLength(total);
  });

  it.skipIf(process.platform === 'win32' || process.env['TALLYBACK_TEST_DATABASE_URL'] !== undefined)(
    'finds events by polling while no notification gets through, and closes all the same',
    async () => {
      const writer = await open();
      const reader = await openPostgresEventStore({ connectionString: database.url });
      const stopped: number[] = [];
      cleanups.push(async () => {
        // Also when the test fails: a stopped session would hang the server's shutdown.
        for (const pid of stopped) process.kill(pid, 'SIGCONT');
        await reader.close();
      });
      let round = 0;
      const seen = await follow(reader, logStart, (events) => events.length >= 5, {
        onBatch: async () => {
          if (round++ === 0) {
            await sessions.waitForSession('listen');
            stopped.push(...(await sessions.pids('listen')));
            for (const pid of stopped) process.kill(pid, 'SIGSTOP');
          }
          await append(writer, newStream(), noStream, newEvents(1));
        },
      });
      expect(stopped).toHaveLength(1);
      expect(seen.length).toBeGreaterThanOrEqual(5);
      await reader.close();
    },
  );
});
