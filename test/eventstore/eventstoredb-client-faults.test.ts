/**
 * What `@eventstore/db-client` 6.2.1 does wrong, shown on the bare client, and that it cannot happen above our adapter
 * when the server behaves in the very same way.
 *
 *   1  A subscription does not come back after a dropped connection.
 *   2  A subscription that the server ends with OK ends the loop as if everything had been read.
 *   3  `checkpointReached` and `caughtUp` run ahead of what has been handled: a checkpoint taken from them loses events.
 *   4  An append that is never answered is pending for ever, whatever its deadline; also when its call ends with OK.
 *   5  A failing call of one client rejects the pending appends of every client in the process, and an answer that comes
 *      late, or twice, throws an uncaught TypeError.
 *   6  Data that JSON cannot hold ends in an unhandled rejection and a promise that never settles; other data is
 *      written anew, not as it was.
 *   7  A failed GetSupportedMethods is remembered for as long as the channel lives: every later append fails.
 *   8  `throwOnAppendFailure=false` reports revision 1 for every conflict.
 *   9  Leaving a `for await` over a read or a subscription leaves the call open on the server.
 *
 * If a test here fails at its first half, the client has been mended there, and a part of the adapter may go.
 */
import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type AllStreamResolvedEvent,
  type EventStoreDBClient,
  jsonEvent,
  NO_STREAM,
  type Position,
  START,
  streamNameFilter,
} from '@eventstore/db-client';
import { expect, onTestFinished, test } from 'vitest';
import { EventStoreUnavailable, type LogBatch, logStart, noStream } from '../../src/eventstore/port.ts';
import { type EventStoreDb, type Fault, refusals } from '../support/eventstoredb/index.ts';
import { connect, start } from '../support/eventstoredb/testing.ts';
import { expectNoStrayErrors, insist, open, until } from './eventstoredb-stores.ts';
import { append, follow, idsOf, newEvent, newEvents, rejection, toArray } from './samples.ts';

expectNoStrayErrors();

const ours = { filter: streamNameFilter({ prefixes: ['test.'] }) } as const;
const idOf = ({ event }: AllStreamResolvedEvent): string => event?.id ?? '';
const idsIn = (server: EventStoreDb, stream: string): string[] =>
  server.log.events(stream).map(({ id }) => id);
const bareEvents = (count: number): ReturnType<typeof jsonEvent>[] =>
  Array.from({ length: count }, () => jsonEvent({ type: 'tested', data: { n: 1 } }));

/** A process of its own for what the bare client would do to this one. It says what happens, line by line. */
class BareProcess {
  readonly said: string[] = [];
  readonly #child;

  constructor(server: EventStoreDb, script: string) {
    const source = `
      import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
      const say = (...words) => console.log(words.join(' '));
      process.on('uncaughtException', (error) => say('uncaught', error));
      process.on('unhandledRejection', (error) => say('uncaught', error));
      const connect = () => EventStoreDBClient.connectionString(process.argv[1]);
      const told = () => new Promise((resolve) => process.once('message', resolve));
      const event = (data = {}) => jsonEvent({ type: 'tested', data });
      ${script}`;
    const args = ['--input-type=module', '-e', source, server.connectionString];
    this.#child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => this.said.push(...text.split('\n')));
    onTestFinished(() => void this.#child.kill('SIGKILL'));
  }

  tell(): void {
    this.#child.send('go on');
  }

  async says(text: string): Promise<void> {
    while (!this.said.some((line) => line.includes(text))) await delay(5);
  }
}

test('1: a subscription comes back after a dropped connection', async () => {
  const server = await start();
  const store = await open(server);
  const client = connect(server);
  const seen: string[] = [];
  const errors: Error[] = [];
  client
    .subscribeToAll(ours)
    .on('data', (event) => void seen.push(idOf(event)))
    .on('error', (error) => void errors.push(error));
  await client.appendToStream('test.s', bareEvents(1));
  await until(() => expect(seen).toHaveLength(1));
  server.leader.dropConnections();
  await until(() => expect(errors).toHaveLength(1));
  await insist(() =>
    client.appendToStream('test.s', bareEvents(2)).catch(() => Promise.reject(new EventStoreUnavailable())),
  );
  // Another one, begun later, has long told everything when the first still tells nothing.
  const control: string[] = [];
  const another = client.subscribeToAll({ ...ours, fromPosition: START });
  another.on('data', (event) => void control.push(idOf(event)));
  await until(() => expect(control).toEqual(idsIn(server, 'test.s')));
  expect(control.length).toBeGreaterThan(2);
  expect(seen).toHaveLength(1);
  expect(server.calls.started('subscribe')).toBe(2);
  await another.unsubscribe();

  const followed: string[] = [];
  const following = follow(store, await store.head(), (events) => events.length === 3, {
    onBatch: ({ events }) => void followed.push(...idsOf(events)),
  });
  await until(() => expect(server.calls.open('subscribe')).toBe(1));
  await append(store, 't', noStream, newEvents(1));
  await until(() => expect(followed).toHaveLength(1));
  server.leader.dropConnections();
  await insist(() => store.append('t', 0, newEvents(2)));
  expect(idsOf(await following)).toEqual(idsIn(server, 'test.t'));
});

test('2: a subscription ended with OK goes on', async () => {
  const server = await start();
  const endEarly = { on: 'subscribe', fault: { kind: 'end' }, afterEvents: 3 } as const;
  // Nobody looks after it in between.
  const store = await open(server, { edges: {}, tail: { watchEvery: 60_000 } });
  const client = connect(server);
  await client.appendToStream('test.s', bareEvents(10));
  server.faults.next(endEarly);
  const seen: string[] = [];
  for await (const event of client.subscribeToAll({ ...ours, fromPosition: START })) seen.push(idOf(event));
  expect(seen).toEqual(idsIn(server, 'test.s').slice(0, 3));

  const rule = server.faults.next(endEarly);
  const following = follow(store, await store.head(), (events) => events.length === 10);
  await until(() => expect(server.calls.open('subscribe')).toBe(1));
  await append(store, 't', noStream, newEvents(10));
  expect(idsOf(await following)).toEqual(idsIn(server, 'test.t'));
  expect(rule.hits).toBe(1);
});

test('3: no position runs ahead of what has been handled', async () => {
  const server = await start();
  const store = await open(server);
  const client = connect(server);
  await client.appendToStream('test.s', bareEvents(10));
  const checkpoints: Position[] = [];
  const heard: string[] = [];
  const filter = streamNameFilter({
    prefixes: ['test.'],
    checkpointInterval: 1,
    checkpointReached: (_, position) => void checkpoints.push(position),
  });
  const subscription = client
    .subscribeToAll({ fromPosition: START, filter })
    .on('caughtUp', () => void heard.push('caughtUp'));
  await until(() => expect(heard).toHaveLength(1));
  // Nothing has been taken out of it yet, and whoever goes on from the checkpoint gets nothing of it any more.
  const checkpoint = checkpoints.at(-1);
  expect(checkpoint?.commit).toBeGreaterThanOrEqual(
    BigInt(server.log.events('test.s').at(-1)?.position ?? 0),
  );
  const after = client.subscribeToAll({ ...ours, fromPosition: checkpoint ?? START });
  const lost: string[] = [];
  after.on('data', (event) => void lost.push(idOf(event))).on('caughtUp', () => void heard.push('caughtUp'));
  await until(() => expect(heard).toHaveLength(2));
  expect(lost).toEqual([]);
  await subscription.unsubscribe();
  await after.unsubscribe();

  // A reader that crashes after every batch, at times before it has handled it, and goes on from the last `through`.
  const handled: string[] = [];
  let position = logStart;
  for (let life = 0; handled.length < 30; life++) {
    if (life < 20) await append(store, `${life}`, noStream, newEvents(1));
    const abort = new AbortController();
    let batches = 0;
    for await (const batch of store.subscribe({ after: position, signal: abort.signal, maxBatch: 4 })) {
      if (++batches === 2 && life % 2) break;
      handled.push(...idsOf(batch.events));
      position = batch.through;
      if (batch.caughtUp || !(life % 2)) break;
    }
  }
  expect(handled).toEqual(
    server.log.events().flatMap(({ stream, id }) => (stream.startsWith('test.') ? [id] : [])),
  );
});

test.each<[string, Fault]>([
  ['that is never answered', { kind: 'hang' }],
  ['whose call ends with OK', { kind: 'end' }],
])('4: an append %s is given up', async (_, fault) => {
  const server = await start();
  const client = connect(server, '&defaultDeadline=100');
  server.faults.next({ on: 'batchAppend', fault });
  let isSettled = false;
  const pending = client.appendToStream('s', bareEvents(1)).finally(() => {
    isSettled = true;
  });
  pending.catch(() => undefined);
  await delay(500);
  if (fault.kind === 'end') expect(server.calls.open('batchAppend')).toBe(0);
  expect(isSettled).toBe(false);

  const store = await open(server);
  const event = newEvent();
  server.faults.next({ on: 'batchAppend', fault });
  expect(await rejection(store.append('s', noStream, [event]))).toBeInstanceOf(EventStoreUnavailable);
  expect(await store.append('s', noStream, [event])).toMatchObject({ kind: 'appended', revision: 0 });
});

test("5: one client's failing call touches no append of another, and late answers nobody", async () => {
  const server = await start();
  const hold = { on: 'batchAppend', fault: { kind: 'hold' }, at: 'answer' } as const;
  const fail = { on: 'batchAppend', fault: { kind: 'refuse', refusal: refusals.unavailable() } } as const;
  const held = server.faults.next({ ...hold, stream: 'well' });
  server.faults.next({ ...fail, stream: 'sick' });
  const bare = new BareProcess(
    server,
    `const [well, sick] = [connect(), connect()];
    well.appendToStream('well', event()).then(() => say('well: stored'), ({ type }) => say('well:', type));
    await told();
    sick.appendToStream('sick', event()).catch(({ type }) => say('sick:', type));`,
  );
  await held.struck();
  bare.tell();
  await bare.says('sick: unavailable');
  await bare.says('well: unavailable');
  expect(idsIn(server, 'well')).toHaveLength(1);
  held.release();
  await bare.says('uncaught TypeError: undefined is not iterable');

  // The same connection is shared here; only the call of one fails.
  const [well, sick] = [await open(server), await open(server)];
  const heldAgain = server.faults.next({ ...hold, stream: 'test.well' });
  server.faults.next({ ...fail, stream: 'test.sick' });
  const answer = well.append('well', noStream, newEvents(1));
  await heldAgain.struck();
  expect(await rejection(sick.append('sick', noStream, newEvents(1)))).toBeInstanceOf(EventStoreUnavailable);
  heldAgain.release();
  expect(await answer).toMatchObject({ kind: 'appended', revision: 0 });
});

test('5: an answer that comes twice is taken once', async () => {
  const server = await start();
  server.faults.next({ on: 'batchAppend', fault: { kind: 'twice' } });
  const bare = new BareProcess(server, `await connect().appendToStream('s', event()); say('stored');`);
  await bare.says('stored');
  await bare.says('uncaught TypeError: undefined is not iterable');

  const store = await open(server);
  server.faults.next({ on: 'batchAppend', fault: { kind: 'twice' } });
  expect(await store.append('s', noStream, newEvents(1))).toMatchObject({ kind: 'appended', revision: 0 });
  expect(await store.append('s', 0, newEvents(1))).toMatchObject({ kind: 'appended', revision: 1 });
});

test('6: what cannot be stored is refused before anything is sent', async () => {
  const server = await start();
  const bare = new BareProcess(
    server,
    `connect().appendToStream('s', event({ n: 1n })).finally(() => say('settled'));
    setTimeout(() => say('waited'), 500);`,
  );
  await bare.says('uncaught TypeError: Do not know how to serialize a BigInt');
  await bare.says('waited');
  expect(bare.said.join()).not.toContain('settled');

  const store = await open(server);
  const before = server.calls.appendsReceived;
  for (const text of ['', 'a NUL: \u0000', 'half a pair: \ud800', 'the other half: \udc00', '\u001e']) {
    for (const fields of [{ data: text }, { metadata: text }, { type: text }]) {
      expect(await rejection(store.append('s', noStream, [newEvent(), newEvent(fields)]))).toBeInstanceOf(
        RangeError,
      );
    }
  }
  expect(server.calls.appendsReceived).toBe(before);
  expect(await store.append('s', noStream, newEvents(1))).toMatchObject({ kind: 'appended' });
});

test('6: a text is stored and read to the character', async () => {
  const server = await start();
  const text =
    '{ "big":12345678901234567890, "one":1.0, "e":1e2, "twice":1, "twice":2, "__proto__":{}, "é":"\\u00e9" }';
  const client = connect(server);
  await client.appendToStream('bare', jsonEvent({ type: 't', data: JSON.parse(text) }));
  expect(server.log.events('bare')[0]?.data).not.toBe(text);

  const store = await open(server);
  const [stored] = await append(store, 's', noStream, [newEvent({ data: text, metadata: text })]);
  expect(stored).toMatchObject({ data: text, metadata: text });
  expect(server.log.events('test.s')[0]).toMatchObject({ data: text, metadata: text });
  // Read by the bare client it is another text already.
  for await (const { event } of client.readStream('test.s'))
    expect(JSON.stringify(event?.data)).not.toContain('12345678901234567890');
});

test('7: appends do not hang on what the server once answered to a question', async () => {
  const server = await start();
  const client = connect(server);
  server.faults.next({ on: 'features', fault: { kind: 'refuse', refusal: refusals.unknown() } });
  for (let n = 0; n < 3; n++) await rejection(client.appendToStream('s', bareEvents(1)));
  expect(server.calls.started('features')).toBe(1);
  expect(server.log.events('s')).toEqual([]);

  const store = await open(server);
  server.faults.always({ on: 'features', fault: { kind: 'refuse', refusal: refusals.unknown() } });
  expect(await store.append('s', noStream, newEvents(1))).toMatchObject({ kind: 'appended' });
  expect(server.calls.started('features')).toBe(1);
});

test('8: a conflict tells the revision there is', async () => {
  const server = await start();
  const quiet = '&throwOnAppendFailure=false';
  const client: EventStoreDBClient = connect(server, quiet);
  await client.appendToStream('s', bareEvents(6));
  const result = await client.appendToStream('s', bareEvents(1), { expectedRevision: NO_STREAM });
  expect(result).toMatchObject({ success: false, nextExpectedRevision: 1n });

  expect(await rejection(open(server, { parameters: quiet }))).toMatchObject({
    name: 'ConnectionStringError',
  });
  const store = await open(server);
  await store.append('s', noStream, newEvents(6));
  for (const expected of [noStream, 0, 4, 6, 100]) {
    expect(await store.append('s', expected, newEvents(1))).toEqual({ kind: 'conflict', actualRevision: 5 });
  }
  expect(await store.append('none', 3, newEvents(1))).toEqual({ kind: 'conflict', actualRevision: noStream });
});

test('9: whoever leaves a loop leaves no call behind', async () => {
  const server = await start();
  const store = await open(server);
  const client = connect(server);
  const data = { text: 'x'.repeat(2_000) };
  for (let n = 0; n < 5; n++) {
    await client.appendToStream(
      'test.s',
      Array.from({ length: 200 }, () => jsonEvent({ type: 't', data })),
    );
  }
  const read = client.readStream('test.s');
  for await (const _ of read) break;
  const subscription = client.subscribeToAll({ ...ours, fromPosition: START });
  for await (const _ of subscription) break;
  await connect(server).appendToStream('other', bareEvents(1));
  await delay(100);
  expect([server.calls.open('read'), server.calls.open('subscribe')]).toEqual([1, 1]);
  await read.cancel();
  await subscription.unsubscribe();
  await until(() => expect([server.calls.open('read'), server.calls.open('subscribe')]).toEqual([0, 0]));

  for await (const _ of store.readStream('s')) break;
  const batches: LogBatch[] = [];
  for await (const batch of store.subscribe({ after: logStart, signal: new AbortController().signal })) {
    batches.push(batch);
    break;
  }
  expect(batches[0]?.events.length).toBeGreaterThan(0);
  await until(() => expect([server.calls.open('read'), server.calls.open('subscribe')]).toEqual([0, 0]));
  expect(await toArray(store.readStream('s'))).toHaveLength(1_000);
});
