/** Every fault, seen by the bare client; by a client without its logic where it would not bear it. */
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { type ClientDuplexStream, status } from '@grpc/grpc-js';
import type { BatchAppendReq, BatchAppendResp } from '@eventstore/db-client/generated/streams_pb.js';
import streamsPb from '@eventstore/db-client/generated/streams_pb.js';
import sharedPb from '@eventstore/db-client/generated/shared_pb.js';
import emptyPb from 'google-protobuf/google/protobuf/empty_pb.js';
import timestampPb from 'google-protobuf/google/protobuf/timestamp_pb.js';
import { NO_STREAM, START } from '@eventstore/db-client';
import { expect, test } from 'vitest';
import { refusals } from './index.ts';
import {
  connect,
  connectRaw,
  event,
  events,
  name,
  names,
  nextId,
  rejection,
  start,
  unary,
} from './testing.ts';

const isPending = async (promise: Promise<unknown>): Promise<boolean> => {
  const pending = Symbol('pending');
  return (
    (await Promise.race([promise, new Promise((resolve) => setImmediate(resolve, pending))])) === pending
  );
};

const ways = [
  { way: 'batch', by: {}, on: 'batchAppend' },
  { way: 'unary', by: unary, on: 'append' },
] as const;

test.each(ways)('a $way append loses its connection before it is stored, or after', async ({ by, on }) => {
  const server = await start();
  const client = connect(server);
  const first = event();
  const options = { ...by, expectedRevision: NO_STREAM } as const;
  server.faults.next({ on, fault: { kind: 'drop' } });
  expect(await rejection(client.appendToStream('order-1', first, options))).toMatchObject({
    type: 'unavailable',
  });
  expect(server.log.events()).toHaveLength(0);

  server.faults.next({ on, at: 'answer', fault: { kind: 'drop' } });
  expect(await rejection(client.appendToStream('order-1', first, options))).toMatchObject({
    type: 'unavailable',
  });
  expect(server.log.events()).toHaveLength(1);

  expect(await client.appendToStream('order-1', first, options)).toMatchObject({ nextExpectedRevision: 0n });
  expect(server.log.events()).toHaveLength(1);
});

test('a batch append is never answered, stored or not, and the ones after it are', async () => {
  const server = await start();
  const client = connect(server);
  server.faults.next({ on: 'batchAppend', stream: 'order-1', fault: { kind: 'hang' } });
  server.faults.next({ on: 'batchAppend', stream: 'order-2', at: 'answer', fault: { kind: 'hang' } });
  const hung = ['order-1', 'order-2'].map((stream) => client.appendToStream(stream, event()));
  for (const appended of hung) appended.catch(() => undefined);
  await client.appendToStream('order-3', event());
  expect(server.log.events().map(({ stream }) => stream)).toEqual(['order-2', 'order-3']);
  for (const appended of hung) expect(await isPending(appended)).toBe(true);
});

test('a unary append that is never answered fails by its deadline', async () => {
  const server = await start();
  const client = connect(server);
  server.faults.next({ on: 'append', at: 'answer', fault: { kind: 'hang' } });
  const error = await rejection(client.appendToStream('order-1', event(), { ...unary, deadline: 1_000 }));
  expect(error).toMatchObject({ type: 'deadline-exceeded' });
  expect(server.log.events()).toHaveLength(1);
  await expect.poll(() => server.calls.open('append')).toBe(0);
});

test('an answer held back comes when it is released, and those behind it after', async () => {
  const server = await start();
  const client = connect(server);
  // The first two appends of a client may overtake each other.
  await client.appendToStream('order-0', event());
  const rule = server.faults.next({ on: 'batchAppend', at: 'answer', fault: { kind: 'hold' } });
  const order: string[] = [];
  const appends = ['order-1', 'order-2'].map(async (stream) => {
    await client.appendToStream(stream, event());
    order.push(stream);
  });
  await expect.poll(() => server.log.events()).toHaveLength(3);
  expect(order).toEqual([]);
  rule.release();
  await Promise.all(appends);
  expect(order).toEqual(['order-1', 'order-2']);
});

test('a request held back holds back what comes after it on the connection', async () => {
  const server = await start();
  const client = connect(server);
  await client.appendToStream('order-0', event());
  const rule = server.faults.next({ on: 'batchAppend', stream: 'order-1', fault: { kind: 'hold' } });
  const appends = ['order-1', 'order-2'].map((stream) => client.appendToStream(stream, event()));
  await rule.struck();
  await connect(server).appendToStream('order-3', event());
  rule.release();
  await Promise.all(appends);
  expect(server.log.events().map(({ stream }) => stream)).toEqual([
    'order-0',
    'order-3',
    'order-1',
    'order-2',
  ]);
});

test.each(ways)('a $way append held back is carried out when its client has gone', async ({ by, on }) => {
  const server = await start();
  const client = connect(server);
  const rule = server.faults.next({ on, fault: { kind: 'hold' } });
  const appended = rejection(client.appendToStream('order-1', event(), by));
  await rule.struck();
  server.nodes[0]?.dropConnections();
  expect(await appended).toMatchObject({ type: 'unavailable' });
  expect(server.log.events()).toHaveLength(0);
  rule.release();
  await expect.poll(() => server.log.events()).toHaveLength(1);
});

test.each(ways)('a $way append is answered late', async ({ by, on }) => {
  const server = await start();
  const rule = server.faults.next({ on, fault: { kind: 'delay', ms: 20 } });
  await connect(server).appendToStream('order-1', event(), by);
  expect(rule.hits).toBe(1);
});

function rawAppend(call: ClientDuplexStream<BatchAppendReq, BatchAppendResp>, type = 'counted'): void {
  const { Options, ProposedMessage } = streamsPb.BatchAppendReq;
  const stream = new sharedPb.StreamIdentifier().setStreamName(Buffer.from('order-1').toString('base64'));
  const message = new ProposedMessage().setId(new sharedPb.UUID().setString(nextId()));
  message.getMetadataMap().set('type', type).set('content-type', 'application/json');
  const halves = new sharedPb.UUID.Structured().setMostSignificantBits('-2').setLeastSignificantBits('3');
  call.write(
    new streamsPb.BatchAppendReq()
      .setCorrelationId(new sharedPb.UUID().setStructured(halves))
      .setOptions(
        new Options()
          .setStreamIdentifier(stream)
          .setAny(new emptyPb.Empty())
          .setDeadline(timestampPb.Timestamp.fromDate(new Date(Date.now() + 500))),
      )
      .setProposedMessagesList([message])
      .setIsFinal(true),
  );
}

test('a batch append is answered twice, under the correlation id it came with', async () => {
  const server = await start();
  server.faults.next({ on: 'batchAppend', fault: { kind: 'twice' } });
  const call = connectRaw(server).batchAppend();
  const answers: BatchAppendResp[] = [];
  call.on('data', (answer: BatchAppendResp) => answers.push(answer));
  rawAppend(call);
  rawAppend(call);
  await expect.poll(() => answers).toHaveLength(3);
  expect(answers.map((answer) => answer.getSuccess()?.getCurrentRevision())).toEqual(['0', '0', '1']);
  for (const answer of answers) {
    const id = answer.getCorrelationId()?.getStructured();
    expect([id?.getMostSignificantBits(), id?.getLeastSignificantBits()]).toEqual(['-2', '3']);
  }
  call.end();
  await expect.poll(() => server.calls.open('batchAppend')).toBe(0);
});

test('the stream of batch appends ends without an error, and its client hears no more', async () => {
  const server = await start();
  const client = connect(server);
  const rule = server.faults.next({ on: 'batchAppend', fault: { kind: 'end' } });
  const appended = client.appendToStream('order-1', event());
  await rule.struck();
  await expect.poll(() => server.calls.open('batchAppend')).toBe(0);
  const next = client.appendToStream('order-1', event());
  await connect(server).appendToStream('order-1', event(), { expectedRevision: NO_STREAM });
  // Not even the next: it is written to the stream that ended.
  for (const hung of [appended, next]) expect(await isPending(hung)).toBe(true);
});

test.each([
  ['not ready', refusals.notReady(), { type: 'unknown', message: 'Could not recognize Server Is Not Ready' }],
  ['too busy', refusals.tooBusy(), { type: 'unknown' }],
  ['a timeout', refusals.timeout(), { type: 'deadline-exceeded' }],
  ['unknown', refusals.unknown(), { type: 'unknown' }],
  ['access denied', refusals.accessDenied(), { type: 'access-denied' }],
  [
    'too large',
    refusals.maximumAppendSizeExceeded(9),
    { type: 'maximum-append-size-exceeded', maxAppendSize: 9 },
  ],
  ['deleted', refusals.streamDeleted('order-1'), { type: 'stream-deleted', streamName: 'order-1' }],
  ['a bad request', refusals.badRequest('no'), { type: 'unknown' }],
  ['not the leader', refusals.notLeader('127.0.0.1', 1), { type: 'not-leader', leader: { port: 1 } }],
  ['unavailable', refusals.unavailable(), { type: 'unavailable' }],
  ['cancelled', refusals.cancelled(), { type: 'cancelled' }],
])('a batch append is refused: %s', async (_, refusal, expected) => {
  const server = await start();
  server.faults.next({ on: 'batchAppend', at: 'answer', fault: { kind: 'refuse', refusal } });
  expect(await rejection(connect(server).appendToStream('order-1', event()))).toMatchObject(expected);
  expect(server.log.events()).toHaveLength(1);
});

test.each([
  ['not ready', refusals.notReady(), { type: 'unavailable', code: 14 }],
  ['a timeout', refusals.timeout(), { type: 'timeout', code: 10 }],
  ['unknown', refusals.unknown(), { type: 'unknown' }],
  ['access denied', refusals.accessDenied(), { type: 'access-denied' }],
  [
    'too large',
    refusals.maximumAppendSizeExceeded(9),
    { type: 'maximum-append-size-exceeded', maxAppendSize: 9 },
  ],
  ['deleted', refusals.streamDeleted('order-1'), { type: 'stream-deleted' }],
  ['metadata', refusals.missingMetadata(), { requiredMetadataProperties: ['type', 'content-type'] }],
])('a unary append is refused: %s', async (_, refusal, expected) => {
  const server = await start();
  server.faults.next({ on: 'append', fault: { kind: 'refuse', refusal } });
  expect(await rejection(connect(server).appendToStream('order-1', event(), unary))).toMatchObject(expected);
  expect(server.log.events()).toHaveLength(0);
});

test('an append that is refused in-band may be made to fail its whole stream', async () => {
  const server = await start();
  const { inBand: _, ...refusal } = refusals.notReady();
  server.faults.next({ on: 'batchAppend', fault: { kind: 'refuse', refusal } });
  expect(await rejection(connect(server).appendToStream('order-1', event()))).toMatchObject({
    type: 'unavailable',
  });
});

test('the features are never told, refused, or not known to the server', async () => {
  const server = await start();
  const hang = server.faults.next({ on: 'features', fault: { kind: 'hang' } });
  const hung = connect(server).appendToStream('order-1', event());
  hung.catch(() => undefined);
  await hang.struck();
  expect(await isPending(hung)).toBe(true);
  expect(server.calls.open('features')).toBe(1);

  server.faults.next({ on: 'features', fault: { kind: 'refuse', refusal: refusals.unknown() } });
  const unlucky = connect(server);
  expect(await rejection(unlucky.appendToStream('order-1', event()))).toMatchObject({ code: 2 });

  const refusal = { code: status.UNIMPLEMENTED, details: 'unknown service' };
  server.faults.next({ on: 'features', fault: { kind: 'refuse', refusal } });
  await connect(server).appendToStream('order-1', event());
  expect(server.calls.started('append')).toBe(1);
});

test('deletes and tombstones fail like other calls', async () => {
  const server = await start();
  const client = connect(server);
  await client.appendToStream('order-1', event());
  server.faults.next(
    { on: ['delete', 'tombstone'], fault: { kind: 'refuse', refusal: refusals.timeout() } },
    2,
  );
  expect(await rejection(client.deleteStream('order-1'))).toMatchObject({ type: 'timeout' });
  expect(await rejection(client.tombstoneStream('order-1'))).toMatchObject({ type: 'timeout' });
  await client.deleteStream('order-1');
});

test('a read breaks off midway: with its connection, with an error, or as if that were all', async () => {
  const server = await start();
  const client = connect(server);
  await client.appendToStream('order-1', events(10));
  const readSome = async (): Promise<[string[], unknown]> => {
    const read: string[] = [];
    try {
      for await (const resolved of client.readStream('order-1')) read.push(name(resolved));
    } catch (error) {
      return [read, error];
    }
    return [read, undefined];
  };
  const three = ['order-1@0', 'order-1@1', 'order-1@2'];
  const on = 'read';

  server.faults.next({ on, afterEvents: 3, fault: { kind: 'end' } });
  expect(await readSome()).toEqual([three, undefined]);
  server.faults.next({ on, afterEvents: 3, fault: { kind: 'refuse', refusal: refusals.timeout() } });
  expect(await readSome()).toMatchObject([three, { type: 'timeout' }]);
  server.faults.next({ on, fault: { kind: 'refuse', refusal: refusals.notReady() } });
  expect(await readSome()).toMatchObject([[], { type: 'unavailable' }]);
  server.faults.next({ on, afterEvents: 3, fault: { kind: 'drop' } });
  const [read, error] = await readSome();
  expect(three).toEqual(expect.arrayContaining(read));
  expect(error).toMatchObject({ type: 'unavailable' });
  const rule = server.faults.next({ on, afterEvents: 3, fault: { kind: 'hold' } });
  const held = readSome();
  await rule.struck();
  expect(await isPending(held)).toBe(true);
  rule.release();
  expect((await held)[0]).toHaveLength(10);
});

test('a subscription ends, is refused, or is dropped', async () => {
  const server = await start();
  const client = connect(server);
  await client.appendToStream('order-1', events(2));
  const on = 'subscribe';
  const subscribe = () => client.subscribeToStream('order-1', { fromRevision: START });
  server.faults.next({ on, afterEvents: 2, stream: 'order-1', fault: { kind: 'end' } });
  expect(await names(subscribe())).toEqual(['order-1@0', 'order-1@1']);
  server.faults.next({ on, fault: { kind: 'refuse', refusal: refusals.consumerTooSlow() } });
  expect(await rejection(names(subscribe()))).toMatchObject({ type: 'timeout' });
  server.faults.next({ on, fault: { kind: 'drop' } });
  expect(await rejection(names(subscribe()))).toMatchObject({ type: 'unavailable' });

  const begun = (count: number) => expect.poll(() => server.calls.started('subscribe')).toBe(count);
  const ended = names(subscribe());
  await begun(4);
  server.calls.end('subscribe');
  expect(['order-1@0', 'order-1@1']).toEqual(expect.arrayContaining(await ended));
  const refused = rejection(names(subscribe()));
  await begun(5);
  server.calls.refuse('subscribe', refusals.cancelled());
  expect(await refused).toMatchObject({ type: 'cancelled' });
  const dropped = rejection(names(subscribe()));
  await begun(6);
  server.nodes[0]?.dropConnections();
  expect(await dropped).toMatchObject({ type: 'unavailable' });
});

test('a live subscription suffers after so many events', async () => {
  const server = await start();
  const client = connect(server);
  const rule = server.faults.next({ on: 'subscribe', afterEvents: 2, fault: { kind: 'hold' } });
  const told: string[] = [];
  const subscription = client
    .subscribeToStream('order-1')
    .on('data', (resolved) => told.push(name(resolved)));
  await new Promise((resolve) => subscription.on('caughtUp', resolve));
  for (let n = 0; n < 4; n++) await client.appendToStream('order-1', event());
  await expect.poll(() => told).toEqual(['order-1@0', 'order-1@1']);
  rule.release();
  await expect.poll(() => told).toHaveLength(4);

  server.faults.next({ on: 'subscribe', afterEvents: 1, fault: { kind: 'end' } });
  const live = client.subscribeToStream('order-2');
  await new Promise((resolve) => live.on('caughtUp', resolve));
  const heard = names(live);
  await client.appendToStream('order-2', event());
  expect(await heard).toEqual(['order-2@0']);
});

test('subscriptions stall, whether live or new, and resume', async () => {
  const server = await start();
  const client = connect(server);
  const subscribe = (): string[] => {
    const told: string[] = [];
    client.subscribeToStream('order-1').on('data', (resolved) => told.push(name(resolved)));
    return told;
  };
  const live = subscribe();
  await client.appendToStream('order-1', event());
  await expect.poll(() => live).toEqual(['order-1@0']);
  server.faults.stallSubscriptions();
  await client.appendToStream('order-1', events(200));
  const late = subscribe();
  expect(await names(client.readStream('order-1'))).toHaveLength(201);
  expect(server.calls.open('subscribe')).toBe(2);
  expect(live).toHaveLength(1);
  expect(late).toHaveLength(0);
  server.faults.resumeSubscriptions();
  await expect.poll(() => [live.length, late.length]).toEqual([201, 201]);
});

test('a rule strikes so many times, by stream, by call, until released', async () => {
  const server = await start();
  const client = connect(server);
  const refuse = { kind: 'refuse', refusal: refusals.unknown() } as const;
  const orders = server.faults.next(
    { on: ['batchAppend', 'append'], stream: (s) => s.startsWith('order-'), fault: refuse },
    2,
  );
  await client.appendToStream('other-1', event());
  await rejection(client.appendToStream('order-1', event()));
  await rejection(client.appendToStream('order-1', event(), unary));
  await orders.struck(2);
  await client.appendToStream('order-1', event());
  const always = server.faults.always({ on: 'batchAppend', fault: refuse });
  for (let n = 0; n < 3; n++) await rejection(client.appendToStream('order-1', event()));
  expect(always.hits).toBe(3);
  always.release();
  await client.appendToStream('order-1', event());
  server.faults.always({ on: 'batchAppend', fault: refuse });
  server.faults.clear();
  await client.appendToStream('order-1', event());
});

test('a bad request is answered again when its time is up, as real servers do', async () => {
  const answers: (string | undefined)[] = [];
  const call = connectRaw(await start()).batchAppend();
  call.on('data', (answer: BatchAppendResp) => answers.push(answer.getError()?.getDetails()?.getTypeName()));
  // It is open when the server closes.
  call.on('error', () => undefined);
  rawAppend(call, '');
  await expect.poll(() => answers).toEqual(['event_store.client.BadRequest', 'event_store.client.Timeout']);
});

test('an append of an event that is none is refused, and the others go on', async () => {
  const server = await start();
  const client = connect(server);
  const { type: _, ...rest } = event();
  for (const by of [{}, unary]) {
    const appended = client.appendToStream('order-1', { ...rest, type: '' }, by);
    expect(await rejection(appended)).toMatchObject({ type: 'unknown' });
    await client.appendToStream('order-1', event(), by);
  }
  expect(server.log.events()).toHaveLength(2);
});

test('a server closes with calls hung, held and delayed', async () => {
  const server = await start();
  const client = connect(server);
  server.faults.next({ on: 'batchAppend', fault: { kind: 'hang' } });
  server.faults.next({ on: 'batchAppend', at: 'answer', fault: { kind: 'delay', ms: 3_600_000 } });
  server.faults.next({ on: 'batchAppend', at: 'answer', fault: { kind: 'hold' } });
  const appends = [0, 1, 2].map((n) => rejection(client.appendToStream(`order-${n}`, event())));
  await expect.poll(() => server.log.events()).toHaveLength(2);
  await server.close();
  for (const error of await Promise.all(appends)) expect(error).toMatchObject({ type: 'unavailable' });
  const refused = once(createConnection({ host: '127.0.0.1', port: server.leader.port }), 'connect');
  await expect(refused).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});
