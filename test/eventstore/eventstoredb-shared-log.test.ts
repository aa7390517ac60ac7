/** A log on EventStoreDB shares its server with others, and others may delete, scavenge, damage and reset it. */
import { ANY, binaryEvent, type EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import {
  comparePositions,
  type EventStore,
  type LogBatch,
  logStart,
  noStream,
  type Position,
  type RecordedEvent,
} from '../../src/eventstore/port.ts';
import { refusals } from '../support/eventstoredb/index.ts';
import { connect, start } from '../support/eventstoredb/testing.ts';
import { expectNoStrayErrors, open, until } from './eventstoredb-stores.ts';
import { append, follow, idsOf, newEvents, rejection, toArray } from './samples.ts';

expectNoStrayErrors();

const caughtUp = (_: readonly RecordedEvent[], batch: LogBatch): boolean => batch.caughtUp;

/** What a subscriber gets that has all of the log before it. */
const all = (store: EventStore, after: Position = logStart): Promise<RecordedEvent[]> =>
  follow(store, after, caughtUp);

/** Events that a server shared with others is full of. */
async function foreign(client: EventStoreDBClient, count: number): Promise<void> {
  const others = ['other.s', 'testing.s', 'tes.s', 'test', 'a-test.s', '$ce-test.s', 'test_x.s'];
  for (const stream of others) {
    const events = Array.from({ length: count }, (_, n) => jsonEvent({ type: `foreign${n}`, data: { n } }));
    await client.appendToStream(stream, events);
  }
}

const link = (to: string): ReturnType<typeof binaryEvent> =>
  binaryEvent({ type: '$>', data: Buffer.from(to) });

test('events of other namespaces, of the server, and links do no harm, and are passed', async () => {
  const server = await start();
  const store = await open(server);
  const client = connect(server);
  const first = await append(store, 's', noStream, newEvents(3));
  await foreign(client, 3);
  // Links to ours, in a stream of others and in one that has our prefix; one leads nowhere.
  await client.appendToStream('$ce-test', [link('0@test.s'), link('1@test.s'), link('7@test.none')]);
  await client.appendToStream('test.links', [link('0@test.s'), link('7@test.none')]);
  await client.setStreamMetadata('test.s', { maxCount: 100 });
  const second = await append(store, 's', 2, newEvents(2));
  await foreign(client, 2);

  let last = logStart;
  const seen = await follow(store, logStart, caughtUp, { onBatch: ({ through }) => void (last = through) });
  expect(seen).toEqual([...first, ...second]);
  expect(last.commit).toBe(BigInt(server.log.head));
  // Nobody who waits for the head waits for what is not ours.
  expect(await store.head()).toEqual(second[1]?.position);
  expect(await toArray(store.readStream('s'))).toEqual([...first, ...second]);
  expect(await toArray(store.readStream('links'))).toEqual([]);
});

test('"through" follows what others write while one waits at the end', async () => {
  const server = await start();
  const store = await open(server);
  const client = connect(server);
  const batches: LogBatch[] = [];
  const abort = new AbortController();
  const following = follow(store, await store.head(), () => abort.signal.aborted, {
    onBatch: async (batch) => {
      batches.push(batch);
      if (batches.length === 1) await foreign(client, 5);
      else if (batch.through.commit === BigInt(server.log.head)) abort.abort();
    },
  });
  expect(await following).toEqual([]);
  expect(batches.length).toBeLessThan(20);
  expect(batches.every((batch) => batch.caughtUp)).toBe(true);
});

test('five thousand foreign events in a row are passed in pages, and nothing behind them is missed', async () => {
  const server = await start();
  const store = await open(server);
  const client = connect(server);
  const before = await append(store, 's', noStream, newEvents(1));
  for (let n = 0; n < 5; n++) {
    await client.appendToStream(
      'noise',
      Array.from({ length: 1_000 }, () => jsonEvent({ type: 'n', data: {} })),
    );
  }
  const live = follow(store, logStart, (events) => events.length === 3);
  const behind = await append(store, 's', 0, newEvents(2));
  expect(await live).toEqual([...before, ...behind]);
  expect(await all(store)).toEqual([...before, ...behind]);
});

test('deleted streams still come until a scavenge, and then what is left does', async () => {
  const server = await start();
  const store = await open(server);
  const client = connect(server);
  const gone = await append(store, 'gone', noStream, newEvents(5));
  const kept = await append(store, 'kept', noStream, newEvents(5));
  await client.deleteStream('test.gone');
  expect(idsOf(await all(store))).toEqual(idsOf([...gone, ...kept]));
  expect(await toArray(store.readStream('gone'))).toEqual([]);

  server.scavenge();
  const left = await all(store);
  expect(idsOf(left.filter(({ stream }) => stream === 'kept'))).toEqual(idsOf(kept));
  expect(left.length).toBeLessThan(10);
  // It can be written to again, and goes on where it was.
  expect(await store.append('gone', noStream, newEvents(1))).toMatchObject({ kind: 'appended', revision: 5 });
  expect((await all(store)).at(-1)).toMatchObject({ stream: 'gone', revision: 5 });
});

test('one goes on after a position whose event has been scavenged, from the log and at its end', async () => {
  const server = await start();
  const store = await open(server);
  const client = connect(server);
  await append(store, 'kept', noStream, newEvents(2));
  const gone = await append(store, 'gone', noStream, newEvents(5));
  const rest = await append(store, 'kept', 1, newEvents(3));
  await client.deleteStream('test.gone');
  server.scavenge();
  const live = follow(store, logStart, (events) => events.some(({ stream }) => stream === 'new'));
  for (const { position } of gone.slice(0, 4)) {
    expect(idsOf(await all(store, position)).slice(-3)).toEqual(idsOf(rest));
  }
  const head = { commit: BigInt(server.log.head), prepare: BigInt(server.log.head) };
  const added = await append(store, 'new', noStream, newEvents(1));
  expect(await all(store, head)).toEqual(added);
  expect((await live).at(-1)).toEqual(added[0]);
});

test('a log that ends before the position to go on from is taken for the wrong one until it is long enough', async () => {
  const old = await start();
  const oldStore = await open(old);
  for (let n = 0; n < 5; n++) await append(oldStore, 's', n * 10 - 1, newEvents(10));
  const position = await oldStore.head();

  const server = await start();
  const lines: string[] = [];
  const store = await open(server, {
    log: (level, message, detail) => lines.push(JSON.stringify({ level, message, detail })),
  });
  const reads = server.calls.started('read');
  await append(store, 's', noStream, newEvents(3));
  const batches: LogBatch[] = [];
  const following = follow(
    store,
    position,
    (events) => events.filter(({ stream }) => stream === 'late').length === 2,
    {
      onBatch: (batch) => void batches.push(batch),
    },
  );
  await until(() => expect(server.calls.started('read')).toBeGreaterThan(reads + 10));
  expect(batches).toEqual([]);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/cannot read the event log.*the log ends at \d+\/\d+, before \d+\/\d+/);

  while (comparePositions(await store.head(), position) < 0) {
    const end = (await toArray(store.readStream('s'))).length - 1;
    await append(store, 's', end, newEvents(5));
  }
  const late = await append(store, 'late', noStream, newEvents(2));
  expect(idsOf(await following).slice(-2)).toEqual(idsOf(late));
  for (const batch of batches) expect(comparePositions(batch.through, position)).toBeGreaterThanOrEqual(0);
  expect(lines.slice(1).filter((line) => line.includes('the log ends at'))).toEqual([]);
});

test('an event of ours that cannot be read ends the subscriptions, and nothing else', async () => {
  const server = await start();
  const store = await open(server);
  const client = connect(server);
  const after = await store.head();
  const delivered: string[] = [];
  const { signal } = new AbortController();
  const following = (async () => {
    for await (const { events } of store.subscribe({ after, signal })) {
      delivered.push(...idsOf(events));
    }
  })();
  const ended = rejection(following);
  const [good] = await append(store, 's', noStream, newEvents(1));
  await until(() => expect(delivered).toEqual([good?.id]));

  const damaged = gzipSync('{"much":"too much to be one block of nothing"}').fill(0x55, 12, 40);
  await client.appendToStream('test.damaged', binaryEvent({ type: 'damaged', data: damaged }), {
    expectedRevision: ANY,
  });
  expect(await ended).toMatchObject({ name: 'LogDamaged' });
  expect(await store.append('s', 0, newEvents(1))).toMatchObject({ kind: 'appended' });
  expect(await toArray(store.readStream('s'))).toHaveLength(2);
  // Not passed over either, by those that follow or by those that come new.
  expect(delivered).toEqual([good?.id]);
  expect(await store.head()).toMatchObject({ commit: BigInt(server.log.head) });
  const fresh = toArray(store.subscribe({ after, signal }));
  expect(await rejection(fresh)).toMatchObject({ name: 'LogDamaged' });
});

test('whatever servers take for a checkpoint, one goes on only from the place of an event', async () => {
  const server = await start();
  // Nothing but the subscription itself moves it on.
  const store = await open(server, { edges: {}, tail: { watchEvery: 60_000 } });
  const client = connect(server);
  const refusal = refusals.unavailable();
  const rule = server.faults.always({ on: 'subscribe', fault: { kind: 'refuse', refusal } });
  const places: Position[] = [];
  const [own] = newEvents(1);
  const following = follow(store, await store.head(), (events) => events.length === 1, {
    onBatch: ({ through }) => void places.push(through),
  });
  await rule.struck();
  for (let n = 0; n < 20; n++) {
    const events = Array.from({ length: 150 }, () => jsonEvent({ type: 'foreign', data: {} }));
    await client.appendToStream('other.s', events);
  }
  rule.release();
  await until(() => expect(server.calls.open('subscribe')).toBe(1));
  await append(store, 's', noStream, own ? [own] : []);
  expect(idsOf(await following)).toEqual([own?.id]);
  expect(places.filter(({ commit, prepare }) => commit !== prepare)).toEqual([]);
});
