/** What the fixture shows of streams and of all of them, seen by the bare client. */
import {
  BACKWARDS,
  END,
  type EventStoreDBClient,
  eventTypeFilter,
  jsonEvent,
  NO_STREAM,
  STREAM_EXISTS,
  streamNameFilter,
} from '@eventstore/db-client';
import type { ReadResp } from '@eventstore/db-client/generated/streams_pb.js';
import streamsPb from '@eventstore/db-client/generated/streams_pb.js';
import sharedPb from '@eventstore/db-client/generated/shared_pb.js';
import { expect, test } from 'vitest';
import { all, connect, connectRaw, event, events, name, names, nextId, rejection, start } from './testing.ts';

test('a stream is read from any revision, either way', async () => {
  const client = connect(await start());
  await client.appendToStream('order-1', events(100));
  const forwards = await names(client.readStream('order-1'));
  expect(forwards).toEqual(Array.from({ length: 100 }, (_, n) => `order-1@${n}`));
  expect(await names(client.readStream('order-1', { fromRevision: 98n }))).toEqual([
    'order-1@98',
    'order-1@99',
  ]);
  expect(await names(client.readStream('order-1', { fromRevision: 10n, maxCount: 2 }))).toEqual([
    'order-1@10',
    'order-1@11',
  ]);
  expect(await names(client.readStream('order-1', { fromRevision: 100n }))).toEqual([]);
  const backwards = { direction: BACKWARDS, fromRevision: END } as const;
  expect(await names(client.readStream('order-1', backwards))).toEqual(forwards.toReversed());
  expect(await names(client.readStream('order-1', { ...backwards, fromRevision: 1n }))).toEqual([
    'order-1@1',
    'order-1@0',
  ]);
});

test('an event comes back as it was written', async () => {
  const before = Date.now();
  const server = await start();
  const client = connect(server);
  const id = nextId();
  const written = jsonEvent({ id, type: 'opened', data: { é: 1 }, metadata: { by: 'me' } });
  await client.appendToStream('order-é', written);
  const [read] = await all(client.readStream('order-é'));
  const commit = BigInt(server.log.head);
  expect(read).toMatchObject({
    commitPosition: commit,
    event: {
      streamId: 'order-é',
      id,
      revision: 0n,
      type: 'opened',
      data: { é: 1 },
      metadata: { by: 'me' },
      isJson: true,
      position: { commit, prepare: commit },
    },
  });
  expect(read?.event?.created.getTime()).toBeGreaterThanOrEqual(before);
});

test('ids are text or two halves, as the reader asks', async () => {
  const server = await start();
  const id = 'fedcba98-7654-4321-8fed-cba987654321';
  await connect(server).appendToStream('order-1', event(0, id));
  const { Options } = streamsPb.ReadReq;
  const name = new sharedPb.StreamIdentifier().setStreamName(Buffer.from('order-1').toString('base64'));
  const options = new Options()
    .setStream(new Options.StreamOptions().setStreamIdentifier(name).setStart(new sharedPb.Empty()))
    .setCount('1')
    .setNoFilter(new sharedPb.Empty())
    .setUuidOption(new Options.UUIDOption().setStructured(new sharedPb.Empty()));
  const call = connectRaw(server).read(new streamsPb.ReadReq().setOptions(options));
  const [answer] = await all<ReadResp>(call);
  const structured = answer?.getEvent()?.getEvent()?.getId()?.getStructured();
  const half = (hex: string): string => `${BigInt.asIntN(64, BigInt(hex))}`;
  expect(structured?.getMostSignificantBits()).toBe(half('0xfedcba9876544321'));
  expect(structured?.getLeastSignificantBits()).toBe(half('0x8fedcba987654321'));
});

test('all streams are read in log order, with the ones of the server', async () => {
  const server = await start();
  const client = connect(server);
  for (const stream of ['a-1', 'b-1', 'a-1']) await client.appendToStream(stream, event());
  const everything = await all(client.readAll());
  expect(everything.map(name).slice(-3)).toEqual(['a-1@0', 'b-1@0', 'a-1@1']);
  expect(everything[0]?.event?.streamId).toMatch(/^\$/);
  const positions = everything.map(({ event }) => event?.position?.commit ?? -1n);
  expect(positions).toEqual(positions.toSorted((a, b) => Number(a - b)));
  expect(await names(client.readAll({ direction: BACKWARDS, fromPosition: END }))).toEqual(
    everything.map(name).toReversed(),
  );

  // Forwards with the event at the position, backwards without it.
  const position = everything.at(-2)?.event?.position ?? { commit: 0n, prepare: 0n };
  expect(await names(client.readAll({ fromPosition: position }))).toEqual(['b-1@0', 'a-1@1']);
  const before = client.readAll({ direction: BACKWARDS, fromPosition: position, maxCount: 1 });
  expect(await names(before)).toEqual(['a-1@0']);
});

test('a position that no event is at is refused, one beyond the end is not', async () => {
  const server = await start();
  const client = connect(server);
  await client.appendToStream('a-1', event());
  const between = { commit: BigInt(server.log.head) + 1n, prepare: BigInt(server.log.head) + 1n };
  expect(await rejection(names(client.readAll({ fromPosition: between })))).toMatchObject({
    type: 'unknown',
    code: 2,
  });
  expect(await rejection(names(client.subscribeToAll({ fromPosition: between })))).toMatchObject({ code: 2 });
  const beyond = { commit: 1_000_000n, prepare: 1_000_000n };
  expect(await names(client.readAll({ fromPosition: beyond }))).toEqual([]);
});

test('there is nothing beyond the end to read: forwards in a stream, backwards in all of them', async () => {
  const client = connect(await start());
  await client.appendToStream('a-1', event());
  const beyond = { commit: 1_000_000n, prepare: 1_000_000n };
  expect(await rejection(names(client.readStream('a-1', { fromRevision: END })))).toMatchObject({ code: 2 });
  const backwards = client.readAll({ direction: BACKWARDS, fromPosition: beyond });
  expect(await rejection(names(backwards))).toMatchObject({ code: 2 });
});

test('what is not there is not found', async () => {
  const client = connect(await start());
  expect(await rejection(names(client.readStream('order-1')))).toMatchObject({
    type: 'stream-not-found',
    streamName: 'order-1',
  });
});

test('a soft-deleted stream is gone, and goes on when written to', async () => {
  const server = await start();
  const client = connect(server);
  await client.appendToStream('order-1', events(3));
  const { position } = await client.deleteStream('order-1', { expectedRevision: 2n });
  expect(position?.commit).toBe(BigInt(server.log.head));
  expect(await rejection(names(client.readStream('order-1')))).toMatchObject({ type: 'stream-not-found' });
  expect(
    await rejection(client.appendToStream('order-1', event(), { expectedRevision: STREAM_EXISTS })),
  ).toMatchObject({ type: 'stream-deleted' });

  expect(await client.appendToStream('order-1', event(), { expectedRevision: NO_STREAM })).toMatchObject({
    nextExpectedRevision: 3n,
  });
  expect(await names(client.readStream('order-1'))).toEqual(['order-1@3']);
  const stored = await names(client.readAll());
  expect(stored.slice(-6)).toEqual([
    'order-1@0',
    'order-1@1',
    'order-1@2',
    '$$order-1@0',
    'order-1@3',
    '$$order-1@1',
  ]);

  server.scavenge();
  expect((await names(client.readAll())).slice(-2)).toEqual(['order-1@3', '$$order-1@1']);
  expect(await names(client.readStream('order-1'))).toEqual(['order-1@3']);
  await client.appendToStream('order-1', event(), { expectedRevision: 3n });
});

test('metadata counts as a stream, and can be all there is to delete', async () => {
  const client = connect(await start());
  const metadata = async (): Promise<unknown[]> =>
    (await all(client.readStream('$$order-1'))).map(({ event }) => event?.data);
  await client.setStreamMetadata('order-1', { maxCount: 3 });
  await client.deleteStream('order-1');
  expect(
    await rejection(client.appendToStream('order-1', event(), { expectedRevision: STREAM_EXISTS })),
  ).toMatchObject({ type: 'stream-deleted' });
  await client.appendToStream('order-1', event(), { expectedRevision: NO_STREAM });
  expect(await names(client.readStream('order-1'))).toEqual(['order-1@0']);
  expect(await metadata()).toEqual([{ $tb: 0 }]);

  // Metadata of its own reopens a stream too, and keeps what it says.
  await client.deleteStream('order-1');
  await client.setStreamMetadata('order-1', { maxCount: 3 });
  expect(await metadata()).toEqual([{ $maxCount: 3, $tb: 1 }]);
  expect(await names(client.readStream('order-1'))).toEqual([]);
});

test('deletions check what they expect', async () => {
  const client = connect(await start());
  expect(await rejection(client.deleteStream('order-1'))).toMatchObject({ type: 'wrong-expected-version' });
  await client.appendToStream('order-1', event());
  for (const deletion of [
    client.deleteStream('order-1', { expectedRevision: 1n }),
    client.tombstoneStream('order-1', { expectedRevision: 1n }),
  ]) {
    expect(await rejection(deletion)).toMatchObject({
      type: 'wrong-expected-version',
      expectedVersion: 1n,
      actualVersion: 0n,
    });
  }
});

test('a tombstone is for ever', async () => {
  const server = await start();
  const client = connect(server);
  await client.appendToStream('order-1', events(2));
  await client.tombstoneStream('order-1');
  const deleted = { type: 'stream-deleted', streamName: 'order-1' };
  expect(await rejection(names(client.readStream('order-1')))).toMatchObject(deleted);
  expect(await rejection(names(client.subscribeToStream('order-1')))).toMatchObject(deleted);
  expect(await rejection(client.appendToStream('order-1', event()))).toMatchObject(deleted);
  expect(await rejection(client.deleteStream('order-1'))).toMatchObject(deleted);
  server.scavenge();
  const [last] = await all(client.readAll({ direction: BACKWARDS, fromPosition: END, maxCount: 1 }));
  expect(last?.event).toMatchObject({ type: '$streamDeleted', revision: 9223372036854775807n });
  expect(server.log.events().map(({ type }) => type)).toEqual(['$streamDeleted']);
  expect(await rejection(client.appendToStream('order-1', event()))).toMatchObject(deleted);
});

test('metadata hides events from reads of the stream, and a scavenge removes them', async () => {
  let now = 1_000_000;
  const server = await start({ now: () => now });
  const client = connect(server);
  await client.appendToStream('order-1', events(5));
  await client.setStreamMetadata('order-1', { truncateBefore: 2 });
  expect(await names(client.readStream('order-1'))).toEqual(['order-1@2', 'order-1@3', 'order-1@4']);
  await client.setStreamMetadata('order-1', { maxCount: 2 });
  expect(await names(client.readStream('order-1'))).toEqual(['order-1@3', 'order-1@4']);
  expect(await names(client.readStream('order-1', { direction: BACKWARDS, fromRevision: END }))).toEqual([
    'order-1@4',
    'order-1@3',
  ]);
  expect(await client.getStreamMetadata('order-1')).toMatchObject({ metadata: { maxCount: 2 } });
  expect(server.log.events()).toHaveLength(5);
  server.scavenge();
  expect(server.log.events().map(({ revision }) => revision)).toEqual([3, 4]);

  await client.setStreamMetadata('order-1', { maxAge: 10 });
  now += 11_000;
  expect(await names(client.readStream('order-1'))).toEqual([]);
  server.scavenge();
  // The last one stays: the next revision follows from it.
  expect(server.log.events().map(({ revision }) => revision)).toEqual([4]);
});

async function link(client: EventStoreDBClient, to: string): Promise<void> {
  const data = Buffer.from(to);
  const options = { id: nextId(), type: '$>', data };
  await client.appendToStream('links', {
    ...options,
    contentType: 'application/octet-stream',
    metadata: undefined,
  });
}

test('links resolve to their events, or to nothing', async () => {
  const server = await start();
  const client = connect(server);
  await client.appendToStream('order-1', events(2));
  await client.appendToStream('order-2', event());
  for (const to of ['1@order-1', '0@order-2', '7@order-1', '0@order-3']) await link(client, to);
  const resolve = async (resolveLinkTos: boolean): Promise<string[]> => {
    const read = await all(client.readStream('links', { resolveLinkTos }));
    return read.map(({ event }) => (event ? name({ event }) : 'nothing'));
  };
  expect(await resolve(false)).toEqual(['links@0', 'links@1', 'links@2', 'links@3']);
  expect(await resolve(true)).toEqual(['order-1@1', 'order-2@0', 'nothing', 'nothing']);
  await client.deleteStream('order-1');
  await client.tombstoneStream('order-2');
  expect(await resolve(true)).toEqual(['nothing', 'nothing', 'nothing', 'nothing']);

  const [first] = await all(client.readStream('links', { resolveLinkTos: true, maxCount: 1 }));
  expect(first).toMatchObject({ link: { streamId: 'links', revision: 0n } });
  expect(first?.commitPosition).toBe(first?.link?.position?.commit);
});

test('a read takes no more than its reader does', async () => {
  const server = await start();
  const client = connect(server);
  const big = jsonEvent({ type: 'big', data: { text: 'x'.repeat(10_000) } });
  for (let n = 0; n < 100; n++)
    await client.appendToStream(
      'order-1',
      Array.from({ length: 10 }, () => big),
    );
  const read = client.readStream('order-1', {}, { highWaterMark: 1 });
  for await (const resolved of read) {
    expect(name(resolved)).toBe('order-1@0');
    break;
  }
  // The client leaves the call open; the server waits in it, and does not run to the end.
  expect(server.calls.open('read')).toBe(1);
  await read.cancel();
  await expect.poll(() => server.calls.open('read')).toBe(0);
});

test('filters choose by stream or type, by prefix or pattern', async () => {
  const client = connect(await start());
  for (const stream of ['a-1', 'b-1', 'aa-1']) {
    await client.appendToStream(stream, jsonEvent({ type: `${stream}-type`, data: {} }));
  }
  const found = async (filter: Parameters<EventStoreDBClient['subscribeToAll']>[0]): Promise<string[]> => {
    const subscription = client.subscribeToAll(filter);
    const matches: string[] = [];
    await new Promise((resolve, reject) => {
      subscription.on('data', (resolved) => matches.push(name(resolved)));
      subscription.on('caughtUp', resolve).on('error', reject);
    });
    await subscription.unsubscribe();
    return matches;
  };
  const a = ['a-1@0', 'aa-1@0'];
  expect(await found({ filter: streamNameFilter({ prefixes: ['a'] }) })).toEqual(a);
  expect(await found({ filter: streamNameFilter({ prefixes: ['a-', 'aa-'] }) })).toEqual(a);
  expect(await found({ filter: streamNameFilter({ regex: '^a+-' }) })).toEqual(a);
  expect(await found({ filter: eventTypeFilter({ prefixes: ['a-1', 'aa'] }) })).toEqual(a);
  expect(await found({ filter: eventTypeFilter({ regex: '^aa?-1' }) })).toEqual(a);
});
