/** What the fixture decides about appends, seen by the bare client on both of its ways of appending. */
import { ANY, jsonEvent, NO_STREAM, STREAM_EXISTS } from '@eventstore/db-client';
import { describe, expect, test } from 'vitest';
import { connect, event, events, rejection, start, unary } from './testing.ts';

const ways = [
  { way: 'batch', by: {}, rpc: 'batchAppend' },
  { way: 'unary', by: unary, rpc: 'append' },
] as const;

describe.each(ways)('a $way append', ({ by, rpc }) => {
  test('is stored as it was sent', async () => {
    const server = await start();
    const client = connect(server);
    const first = jsonEvent({ type: 'opened', data: { a: 1 }, metadata: { by: 'me' } });
    const result = await client.appendToStream('order-1', [first, event()], {
      ...by,
      expectedRevision: NO_STREAM,
    });

    const [stored, second] = server.log.events('order-1');
    expect(stored).toMatchObject({
      stream: 'order-1',
      revision: 0,
      id: first.id,
      type: 'opened',
      data: '{"a":1}',
      metadata: '{"by":"me"}',
    });
    const position = BigInt(second?.position ?? 0);
    expect(result).toEqual({
      success: true,
      nextExpectedRevision: 1n,
      position: { commit: position, prepare: position },
    });
    expect(server.calls.started(rpc)).toBe(1);
    expect(server.calls.appendsReceived).toBe(1);
  });

  test.each([
    [3n, 3n],
    [1n, 1n],
    [0n, 0n],
    [NO_STREAM, 'no_stream'],
  ] as const)('that expects %s of a stream at 2 conflicts', async (expectedRevision, expectedVersion) => {
    const server = await start();
    const client = connect(server);
    await client.appendToStream('order-1', events(3));
    const error = await rejection(client.appendToStream('order-1', event(), { ...by, expectedRevision }));
    expect(error).toMatchObject({ type: 'wrong-expected-version', expectedVersion, actualVersion: 2n });
  });

  test('that expects something of a stream that is not there conflicts', async () => {
    const client = connect(await start());
    for (const expectedRevision of [0n, STREAM_EXISTS] as const) {
      const error = await rejection(client.appendToStream('order-1', event(), { ...by, expectedRevision }));
      expect(error).toMatchObject({ type: 'wrong-expected-version', actualVersion: 'no_stream' });
    }
    await client.appendToStream('order-1', event(), { ...by, expectedRevision: ANY });
    await client.appendToStream('order-1', event(), { ...by, expectedRevision: STREAM_EXISTS });
  });

  test('repeated with the same ids and revision is answered as the first time, and stored once', async () => {
    const server = await start();
    const client = connect(server);
    await client.appendToStream('order-1', event());
    const batch = events(2);
    const options = { ...by, expectedRevision: 0n } as const;
    const first = await client.appendToStream('order-1', batch, options);
    await client.appendToStream('order-1', event());
    expect(await client.appendToStream('order-1', batch, options)).toEqual(first);
    expect(await client.appendToStream('order-1', batch.slice(0, 1), options)).toMatchObject({
      nextExpectedRevision: 1n,
    });
    server.faults.replaysWithoutPosition = true;
    expect(await client.appendToStream('order-1', batch, options)).toEqual({ ...first, position: undefined });
    expect(server.log.events()).toHaveLength(4);
  });

  test('that repeats a part only conflicts', async () => {
    const client = connect(await start());
    const [first, ...rest] = events(2);
    if (!first) throw new Error('no event');
    await client.appendToStream('order-1', [first, ...rest], { expectedRevision: NO_STREAM });
    const error = await rejection(
      client.appendToStream('order-1', [first, event()], { ...by, expectedRevision: NO_STREAM }),
    );
    expect(error).toMatchObject({ type: 'wrong-expected-version', actualVersion: 1n });
  });

  test('is written again if it expects what is current, whatever its ids', async () => {
    const server = await start();
    const client = connect(server);
    const repeated = event();
    await client.appendToStream('order-1', repeated, { ...by, expectedRevision: NO_STREAM });
    await client.appendToStream('order-1', repeated, { ...by, expectedRevision: 0n });
    expect(server.log.events()).toHaveLength(2);
  });

  test('that expects nothing is known again from memory only', async () => {
    const server = await start({ nodes: 2 });
    const client = connect(server);
    const repeated = event();
    await client.appendToStream('order-1', repeated, by);
    expect(await client.appendToStream('order-1', repeated, by)).toMatchObject({ nextExpectedRevision: 0n });
    server.changeLeader();
    expect(await client.appendToStream('order-1', repeated, by)).toMatchObject({ nextExpectedRevision: 1n });
    // An id written to another stream since is forgotten for this one.
    await client.appendToStream('order-2', repeated, by);
    expect(await client.appendToStream('order-1', repeated, by)).toMatchObject({ nextExpectedRevision: 2n });
  });

  test('without events is checked, and moves positions only', async () => {
    const server = await start();
    const client = connect(server);
    await client.appendToStream('order-1', event());
    const result = await client.appendToStream('order-1', [], { ...by, expectedRevision: 0n });
    expect(result).toMatchObject({ success: true, nextExpectedRevision: 0n });
    expect(result.position?.commit).toBeGreaterThan(BigInt(server.log.head));
    await expect(client.appendToStream('order-1', [], { ...by, expectedRevision: 1n })).rejects.toThrow('');
    expect(server.log.events()).toHaveLength(1);
  });

  test('counts data, metadata and twice the type towards the maximum', async () => {
    const server = await start({ maxAppendSize: 2 * (2 * 4 + 12 + 6) });
    const client = connect(server);
    const sized = (size: number) =>
      jsonEvent({ type: 'type', data: 'x'.repeat(size - 2) as never, metadata: { m: 1 } as never });
    // {"m":1} is 7 bytes.
    await client.appendToStream('order-1', [sized(11), sized(11)], by);
    const error = await rejection(client.appendToStream('order-1', [sized(11), sized(12)], by));
    expect(error).toMatchObject({ type: 'maximum-append-size-exceeded', maxAppendSize: 52 });
    expect(server.log.events()).toHaveLength(2);
  });
});

test('a batch append of several messages is one append', async () => {
  const server = await start({ maxAppendSize: 10_000 });
  const client = connect(server);
  await client.appendToStream('order-1', events(100), { batchAppendSize: 500, expectedRevision: NO_STREAM });
  expect(server.log.events().map(({ revision }) => revision)).toEqual([
    ...Array.from({ length: 100 }).keys(),
  ]);
  expect(server.calls.appendsReceived).toBe(1);
  const error = await rejection(
    client.appendToStream('order-2', events(20_000), {
      batchAppendSize: 100_000,
      expectedRevision: NO_STREAM,
    }),
  );
  expect(error).toMatchObject({ type: 'maximum-append-size-exceeded', maxAppendSize: 10_000 });
  // The rest of it is ignored, and the connection goes on.
  await client.appendToStream('order-2', event(), { expectedRevision: NO_STREAM });
});

test('many batch appends share one stream, and each hears its own answer', async () => {
  const server = await start();
  const client = connect(server);
  const results = await Promise.all(
    Array.from({ length: 200 }, (_, n) => client.appendToStream(`order-${n % 50}`, events((n % 3) + 1))),
  );
  expect(server.calls.started('batchAppend')).toBe(1);
  const head = Math.max(...results.map(({ position }) => Number(position?.commit)));
  expect(head).toBe(server.log.head);
});

test('a batch append after its deadline times out, and is not stored', async () => {
  const server = await start();
  const client = connect(server);
  // Another clock: the deadline is an absolute time.
  const error = await rejection(client.appendToStream('order-1', event(), { deadline: -1_000 }));
  expect(error).toMatchObject({ type: 'deadline-exceeded' });
  expect(server.log.events()).toHaveLength(0);
});

test('throwOnAppendFailure=false is served', async () => {
  const server = await start();
  const client = connect(server, '&throwOnAppendFailure=false');
  await client.appendToStream('order-1', events(3));
  const conflict = { expectedRevision: 0n, ...unary } as const;
  expect(await client.appendToStream('order-1', event(), conflict)).toMatchObject({
    success: false,
    nextExpectedRevision: 2n,
  });
});
