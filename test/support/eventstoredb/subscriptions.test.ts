/** How the fixture's subscriptions go, seen by the bare client. */
import {
  type AllStreamResolvedEvent,
  END,
  type EventStoreDBClient,
  jsonEvent,
  type Position,
  START,
  streamNameFilter,
} from '@eventstore/db-client';
import { expect, test } from 'vitest';
import { connect, event, events, name, rejection, start } from './testing.ts';

type AllSubscription = ReturnType<EventStoreDBClient['subscribeToAll']>;

/** What a subscription tells, as it tells it. */
class Record {
  readonly told: string[] = [];
  readonly checkpoints: Position[] = [];
  readonly events: AllStreamResolvedEvent[] = [];
  error: unknown;
  #onTold: () => void = () => undefined;

  constructor(subscription: AllSubscription) {
    subscription
      .on('confirmation', () => {
        this.#tell('confirmation');
      })
      .on('caughtUp', () => {
        this.#tell('caughtUp');
      })
      .on('data', (resolved) => {
        this.events.push(resolved);
        this.#tell(name(resolved));
      })
      .on('error', (error) => {
        this.error = error;
      });
  }

  readonly checkpoint = (position: Position): void => {
    this.checkpoints.push(position);
    this.#tell('checkpoint');
  };

  async until(what: string, times = 1): Promise<void> {
    while (this.told.filter((told) => told === what).length < times) {
      await new Promise<void>((resolve) => {
        this.#onTold = resolve;
      });
    }
  }

  #tell(what: string): void {
    this.told.push(what);
    this.#onTold();
  }
}

function subscribe(
  client: EventStoreDBClient,
  options: {
    readonly from?: Position | 'start' | 'end';
    readonly window?: number;
    readonly interval?: number;
  } = {},
): { readonly subscription: AllSubscription; readonly record: Record } {
  let record: Record | undefined;
  const subscription = client.subscribeToAll({
    fromPosition: options.from ?? START,
    filter: streamNameFilter({
      prefixes: ['order-'],
      ...(options.window === undefined ? {} : { maxSearchWindow: options.window }),
      ...(options.interval === undefined ? {} : { checkpointInterval: options.interval }),
      checkpointReached: async (_, position) => {
        record?.checkpoint(position);
      },
    }),
  });
  record = new Record(subscription);
  return { subscription, record };
}

test('it is confirmed, catches up, and goes on live', async () => {
  const server = await start();
  const client = connect(server);
  await client.appendToStream('order-1', events(2));
  await client.appendToStream('other-1', events(2));
  const { subscription, record } = subscribe(client);
  await record.until('caughtUp');
  await client.appendToStream('other-1', events(2));
  await client.appendToStream('order-2', events(1));
  await record.until('order-2@0');
  expect(record.told).toEqual([
    'confirmation',
    'order-1@0',
    'order-1@1',
    'checkpoint',
    'caughtUp',
    'order-2@0',
  ]);
  expect(record.events.at(-1)?.event?.position?.commit).toBe(BigInt(server.log.head));
  expect(server.calls.open('subscribe')).toBe(1);
  await subscription.unsubscribe();
  await expect.poll(() => server.calls.open('subscribe')).toBe(0);
});

test('it begins after the position, and at the end with what comes', async () => {
  const server = await start();
  const client = connect(server);
  await client.appendToStream('order-1', events(3));
  const position = BigInt(server.log.events()[1]?.position ?? 0);
  const after = subscribe(client, { from: { commit: position, prepare: position } });
  const fromEnd = subscribe(client, { from: END });
  await Promise.all([after.record.until('caughtUp'), fromEnd.record.until('caughtUp')]);
  await client.appendToStream('order-1', event());
  await Promise.all([after.record.until('order-1@3'), fromEnd.record.until('order-1@3')]);
  expect(after.record.events.map(name)).toEqual(['order-1@2', 'order-1@3']);
  expect(fromEnd.record.told).toEqual(['confirmation', 'caughtUp', 'order-1@3']);
});

test('beyond the end it is caught up at once, and hears nothing before that position', async () => {
  const server = await start();
  const client = connect(server);
  await client.appendToStream('order-1', event());
  const beyond = BigInt(server.log.head) + 300n;
  const { record } = subscribe(client, { from: { commit: beyond, prepare: beyond } });
  await record.until('caughtUp');
  for (let n = 0; n < 10; n++) await client.appendToStream('order-1', event());
  await record.until('order-1@10');
  const first = record.events[0]?.event?.position?.commit;
  expect(first).toBeGreaterThan(beyond);
  expect(record.events.length).toBeLessThan(10);
});

test('checkpoints come by events searched, also when none matches, and never go back', async () => {
  const server = await start();
  const client = connect(server);
  for (let n = 0; n < 10; n++) await client.appendToStream('other-1', events(100));
  const { record } = subscribe(client, { window: 20, interval: 5 });
  await record.until('caughtUp');
  // 1,003 events, one checkpoint in 100, and one at the end.
  expect(record.checkpoints).toHaveLength(11);
  // None of them is at an event: the next page begins there.
  expect(record.checkpoints[0]?.prepare).toBe(0n);
  for (const [n, checkpoint] of record.checkpoints.entries()) {
    expect(checkpoint.commit).toBeGreaterThan(record.checkpoints[n - 1]?.commit ?? -1n);
  }
  const [somewhere] = record.checkpoints.slice(-2);
  const again = subscribe(client, somewhere && { from: somewhere });
  await again.record.until('caughtUp');

  // Live, they are where the last event searched is.
  for (let n = 0; n < 100; n++) await client.appendToStream('other-1', event());
  await record.until('checkpoint', 12);
  expect(record.checkpoints.at(-1)).toEqual({
    commit: BigInt(server.log.head),
    prepare: BigInt(server.log.head),
  });
});

test('one from a checkpoint misses nothing', async () => {
  const server = await start();
  const client = connect(server);
  for (let n = 0; n < 60; n++) {
    await client.appendToStream('other-1', events(7));
    await client.appendToStream(`order-${n}`, event());
  }
  const { record } = subscribe(client, { window: 4, interval: 1 });
  await record.until('caughtUp');
  expect(record.events).toHaveLength(60);
  let checked = 0;
  for (const checkpoint of record.checkpoints) {
    const told = record.events
      .filter(({ event }) => (event?.position?.commit ?? 0n) > checkpoint.commit)
      .map(name);
    // Where commit and prepare differ, an event may be at the commit position that is yet to come.
    const at = record.events.find(({ event }) => event?.position?.commit === checkpoint.commit);
    if (at && checkpoint.prepare < checkpoint.commit) told.unshift(name(at));
    const again = subscribe(client, { from: checkpoint });
    await again.record.until('caughtUp');
    expect(again.record.events.map(name)).toEqual(told);
    await again.subscription.unsubscribe();
    checked++;
  }
  expect(checked).toBeGreaterThan(50);
});

test('one to a stream that is not there is caught up, and hears of it when it is', async () => {
  const client = connect(await start());
  const subscription = client.subscribeToStream('order-1', { fromRevision: START });
  const told: string[] = [];
  subscription
    .on('caughtUp', () => told.push('caughtUp'))
    .on('data', (resolved) => told.push(name(resolved)));
  await expect.poll(() => told).toEqual(['caughtUp']);
  await client.appendToStream('order-1', events(2));
  await expect.poll(() => told).toEqual(['caughtUp', 'order-1@0', 'order-1@1']);
  const ended = rejection(new Promise((_, reject) => subscription.on('error', reject)));
  await client.tombstoneStream('order-1');
  expect(await ended).toMatchObject({ type: 'stream-deleted' });
});

test('before 24.2, one to a stream that is not there is not caught up before it is', async () => {
  const server = await start({ slowConsumers: 'drop' });
  const client = connect(server);
  const told: string[] = [];
  const subscription = client.subscribeToStream('order-1');
  subscription
    .on('confirmation', () => told.push('confirmation'))
    .on('caughtUp', () => told.push('caughtUp'));
  subscription.on('data', (resolved) => told.push(name(resolved)));
  await expect.poll(() => told).toEqual(['confirmation']);
  await client.appendToStream('order-1', event());
  await expect.poll(() => told).toEqual(['confirmation', 'order-1@0', 'caughtUp']);
});

test('one to a stream begins after its revision', async () => {
  const client = connect(await start());
  await client.appendToStream('order-1', events(5));
  const told: string[] = [];
  const subscription = client.subscribeToStream('order-1', { fromRevision: 2n });
  subscription
    .on('data', (resolved) => told.push(name(resolved)))
    .on('caughtUp', () => told.push('caughtUp'));
  await expect.poll(() => told).toEqual(['order-1@3', 'order-1@4', 'caughtUp']);
});

test('a scavenge while it catches up takes only what it removes', async () => {
  const server = await start();
  const client = connect(server);
  const big = Array.from({ length: 10 }, () =>
    jsonEvent({ type: 'big', data: { text: 'x'.repeat(10_000) } }),
  );
  for (let n = 0; n < 60; n++) await client.appendToStream(`order-${n}`, big);
  const { subscription, record } = subscribe(client);
  subscription.pause();
  await record.until('confirmation');
  await client.deleteStream('order-0');
  await client.deleteStream('order-59');
  server.scavenge();
  subscription.resume();
  await record.until('caughtUp');
  const told = record.events.map(name);
  expect(told).toContain('order-0@0');
  expect(told.filter((event) => event.startsWith('order-59@'))).toEqual(['order-59@9']);
  expect(told).toHaveLength(59 * 10 + 1);
});

const large = (count: number) =>
  Array.from({ length: count }, () => jsonEvent({ type: 'large', data: { text: 'x'.repeat(2_000) } }));

/** Appends until the server takes note that the consumer does not. */
async function outrun(client: EventStoreDBClient, slow: () => number): Promise<number> {
  let sent = 0;
  while (slow() === 0) {
    await client.appendToStream('order-1', large(10));
    sent += 10;
    if (sent > 5_000) throw new Error('it kept up');
  }
  return sent;
}

test('a slow live consumer falls back to catching up, and misses nothing', async () => {
  const server = await start();
  const client = connect(server);
  const { subscription, record } = subscribe(client, { from: END });
  await record.until('caughtUp');
  subscription.pause();
  const sent = await outrun(client, () => server.calls.slowConsumers);
  await client.appendToStream('order-1', large(10));
  expect(record.events.length).toBeLessThan(sent);
  subscription.resume();
  await record.until('caughtUp', 2);
  await record.until(`order-1@${sent + 9}`);
  expect(record.events.map(name)).toEqual(Array.from({ length: sent + 10 }, (_, n) => `order-1@${n}`));
});

test('a slow live consumer is dropped by older servers', async () => {
  const server = await start({ slowConsumers: 'drop' });
  const client = connect(server);
  const { subscription, record } = subscribe(client, { from: END });
  await record.until('caughtUp');
  subscription.pause();
  const sent = await outrun(client, () => server.calls.slowConsumers);
  subscription.resume();
  await expect.poll(() => record.error).toMatchObject({ type: 'timeout', code: 10 });
  expect(record.error).toHaveProperty(
    'message',
    expect.stringContaining('Consumer too slow to handle event while live'),
  );
  // What was sent before arrives in order, and without gaps.
  expect(record.events.length).toBeLessThan(sent);
  expect(record.events.map(name)).toEqual(record.events.map((_, n) => `order-1@${n}`));
  expect(server.calls.open('subscribe')).toBe(0);
});

test('an append larger than the live buffer drops even a consumer that reads', async () => {
  const server = await start({ slowConsumers: 'drop' });
  const client = connect(server);
  const { record } = subscribe(client, { from: END });
  await record.until('caughtUp');
  await client.appendToStream('order-1', events(100));
  await record.until('order-1@99');
  await client.appendToStream('order-1', events(500));
  await expect.poll(() => record.error).toMatchObject({ type: 'timeout' });
});

test('a consumer that catches up may be as slow as it likes', async () => {
  const server = await start({ slowConsumers: 'drop' });
  const client = connect(server);
  for (let n = 0; n < 100; n++) await client.appendToStream('order-1', large(10));
  const { subscription, record } = subscribe(client);
  subscription.pause();
  await record.until('confirmation');
  for (let n = 0; n < 100; n++) await client.appendToStream('order-1', large(10));
  subscription.resume();
  await record.until('order-1@1999');
  expect(record.events).toHaveLength(2_000);
  expect(server.calls.slowConsumers).toBe(0);
});
