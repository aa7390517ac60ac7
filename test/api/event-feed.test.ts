/** The event feed through its generated client, on a log in memory and on every store there is. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { positionTokens } from '../../src/application/position-token.ts';
import { sealWith } from '../../src/application/seal.ts';
import { openEventStoreDb } from '../../src/eventstore/eventstoredb/index.ts';
import {
  type EventStore,
  EventStoreUnavailable,
  type NewEvent,
  type SubscribeOptions,
} from '../../src/eventstore/port.ts';
import { openPostgresEventStore } from '../../src/eventstore/postgres/postgres-event-store.ts';
import { EventFeedServiceClient } from '../../src/gen/tallyback/feed/v1/event_feed_service.ts';
import { fixtures, realServers } from '../support/eventstoredb-servers.ts';
import { MemoryEventStore } from '../support/memory-event-store.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { gate } from './support/bus.ts';
import { Feeding } from './support/feeding.ts';
import { startTestApi, type TestApi, tokens, until } from './support/server.ts';

type Settings = NonNullable<Parameters<typeof startTestApi>[0]>;

const open: TestApi[] = [];
afterEach(async () => {
  for (const api of open.splice(0)) await api.close();
});

/** An instance on a log. */
async function serve(store: EventStore, settings: Settings = {}): Promise<TestApi> {
  const api = await startTestApi({
    subscribe: (options) => store.subscribe(options),
    head: () => store.head(),
    // Seldom, so that none comes between what is looked at.
    limits: { heartbeatMs: 60_000 },
    ...settings,
  });
  open.push(api);
  return api;
}

/** What the log has before the name of a type. */
const stored = 'tallyback.events.v1.';

const eventOf = (type: string, data: object = {}): NewEvent => ({
  id: randomUUID(),
  type: `${stored}${type}`,
  data: JSON.stringify(data),
  metadata: '{}',
});

const types = ['OrderTracked', 'RebateAccrued', 'CommandRefused', 'StockSold'] as const;

/** Appends so many events, each to its own stream; answers their ids. */
async function fill(store: EventStore, count: number, type?: string): Promise<string[]> {
  const events = Array.from({ length: count }, (_, n) =>
    eventOf(type ?? types[n % types.length] ?? '', { n }),
  );
  for (const event of events) await store.append(`order-${event.id}`, -1, [event]);
  return events.map(({ id }) => id);
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n + 1);

describe('the event feed', () => {
  test('sends every event of the log as it was stored, in order, then what is new', async () => {
    const store = new MemoryEventStore();
    await store.append('account-ann~EUR', -1, [
      eventOf('RebateAccrued', { member: 'ann', text: 'žlutý 🐎' }),
      eventOf('CommandRefused', { reason: 'ACCOUNT_FROZEN' }),
    ]);
    const feeding = new Feeding((await serve(store)).eventFeed);
    await feeding.caughtUp();
    await store.append('account-ann~EUR', 1, [eventOf('RebateReversed')]);
    await until(() => feeding.events.length === 3);
    expect(feeding.words).toEqual(['changes', 'caughtUp', 'changes']);
    expect(feeding.sequence).toEqual([1, 2, 3]);
    expect(feeding.events).toEqual(
      store.log.map(({ id, stream, revision, type, data, recordedAt, position }) => ({
        id,
        stream,
        revision: BigInt(revision),
        type: type.replace(stored, ''),
        dataJson: data,
        recordedAt,
        positionToken: tokens.encode(position),
        omittedBytes: 0n,
      })),
    );
    const positions = feeding.messages.map(
      ({ header }) => tokens.decode(header?.positionToken ?? '')?.commit,
    );
    expect(positions).toEqual([2n, 2n, 3n]);
  });

  test('begins with what is new unless it is asked for more', async () => {
    const store = new MemoryEventStore();
    await fill(store, 5);
    const feeding = new Feeding((await serve(store)).eventFeed, { fromBeginning: false });
    await feeding.caughtUp();
    expect(feeding.words).toEqual(['caughtUp']);
    const ids = await fill(store, 3);
    await until(() => feeding.events.length === 3);
    expect(feeding.ids).toEqual(ids);
  });

  test('can be narrowed to types; its heartbeats bring tokens that go on although nothing matches', async () => {
    const store = new MemoryEventStore();
    await fill(store, 40);
    const { eventFeed } = await serve(store, { limits: { heartbeatMs: 40 } });
    const narrow = { types: ['StockSold', 'OrderTracked'] };
    const feeding = new Feeding(eventFeed, narrow);
    await feeding.caughtUp();
    const wanted = store.log
      .filter(({ type }) => narrow.types.includes(type.replace(stored, '')))
      .map(({ id }) => id);
    expect(feeding.ids).toEqual(wanted);
    await fill(store, 10, 'RebateAccrued');
    const last = () => feeding.messages.at(-1);
    await until(
      () =>
        last()?.event?.$case === 'heartbeat' &&
        tokens.decode(last()?.header?.positionToken ?? '')?.commit === 50n,
    );
    const { token } = await feeding.stop();
    // With the same filter, however it is written: the token is of what is wanted, not of where it began.
    const again = new Feeding(eventFeed, {
      types: ['OrderTracked', 'StockSold', 'OrderTracked'],
      fromBeginning: false,
      watch: { resumeToken: token },
    });
    const more = await fill(store, 4, 'StockSold');
    await until(() => again.events.length >= 4);
    expect(again.ids).toEqual(more);
  });

  test('says that it has caught up with a token only when it has', async () => {
    const store = new MemoryEventStore();
    await fill(store, 700);
    const { eventFeed } = await serve(store);
    const head = tokens.encode(await store.head());
    const feeding = new Feeding(eventFeed, { watch: { notCaughtUpBefore: head } });
    await feeding.caughtUp();
    expect(feeding.words.indexOf('caughtUp')).toBe(feeding.words.length - 1);
    expect(feeding.events).toHaveLength(700);
    // Without one it is not said too soon either: it takes several batches.
    const plain = new Feeding(eventFeed);
    await plain.caughtUp();
    expect(plain.events).toHaveLength(700);
    // Nothing was missed: nothing comes.
    const again = new Feeding(eventFeed, { watch: { resumeToken: plain.token } });
    await again.caughtUp();
    expect(again.words).toEqual(['caughtUp']);
    const early = new Feeding(eventFeed, {
      watch: { notCaughtUpBefore: tokens.encode({ commit: 701n, prepare: 701n }) },
    });
    await until(() => early.ended !== undefined);
    expect(early.ended).toMatchObject({ code: 'OUT_OF_RANGE', reason: 'POSITION_UNKNOWN' });
  });

  test('sends what happened when it happened, whatever window is asked for', async () => {
    const store = new MemoryEventStore();
    const { eventFeed } = await serve(store);
    const feeding = new Feeding(eventFeed, { watch: { conflationWindow: { seconds: 10n, nanos: 0 } } });
    await feeding.caughtUp();
    // With a window for each of them the time of the test would be up.
    for (let n = 1; n <= 4; n++) {
      await fill(store, 1);
      await until(() => feeding.events.length === n);
    }
    expect(feeding.batches.map(({ length }) => length)).toEqual([1, 1, 1, 1]);
  });

  test('refuses a type that there is not, by its place', async () => {
    const { eventFeed } = await serve(new MemoryEventStore());
    for (const [bad, reason, field] of [
      [['StockSold', 'RebateAcrued'], 'EVENT_TYPE_UNKNOWN', 'types[1]'],
      [['toString'], 'EVENT_TYPE_UNKNOWN', 'types[0]'],
      [['Stock-Sold'], 'INVALID_REQUEST', 'types[0]'],
    ] as const) {
      const feeding = new Feeding(eventFeed, { types: [...bad] });
      await until(() => feeding.ended !== undefined);
      expect(feeding.ended).toMatchObject({ code: 'INVALID_ARGUMENT', reason, fields: [field] });
    }
  });

  test('takes a resume token of the same filter and the same log only', async () => {
    const store = new MemoryEventStore();
    await fill(store, 8);
    const { eventFeed } = await serve(store);
    const feeding = new Feeding(eventFeed, { types: ['StockSold'] });
    await feeding.caughtUp();
    const { token } = await feeding.stop();
    const refusal = async (client: EventFeedServiceClient, resumeToken: string, narrow: string[]) => {
      const refused = new Feeding(client, { types: narrow, watch: { resumeToken } });
      await until(() => refused.ended !== undefined);
      expect(refused.messages).toEqual([]);
      return refused.ended;
    };
    const foreign = {
      code: 'INVALID_ARGUMENT',
      reason: 'RESUME_TOKEN_FOREIGN',
      fields: ['options.resume_token'],
    };
    const invalid = {
      code: 'INVALID_ARGUMENT',
      reason: 'RESUME_TOKEN_INVALID',
      fields: ['options.resume_token'],
    };
    expect(await refusal(eventFeed, token, [])).toMatchObject(foreign);
    expect(await refusal(eventFeed, token.replace('.', '.AAAA'), ['StockSold'])).toMatchObject(invalid);

    // A copy of the log has the same events, and is another log: its positions are others.
    const key = Buffer.from('key of the tests');
    const copy = await serve(store, { tokens: positionTokens(key, 'copy'), seal: sealWith(key, 'copy') });
    expect(await refusal(copy.eventFeed, token, ['StockSold'])).toMatchObject(invalid);

    // The same log as it was before: what comes next at these positions is something else.
    const restored = new MemoryEventStore();
    await fill(restored, 7);
    const { eventFeed: feedOfBackup } = await serve(restored);
    expect(await refusal(feedOfBackup, token, ['StockSold'])).toMatchObject({
      code: 'OUT_OF_RANGE',
      reason: 'POSITION_UNKNOWN',
    });
  });

  test('sends messages of bounded size, and says so of what fits in none', async () => {
    const store = new MemoryEventStore();
    const sizes = [100_000, 100_000, 100_000, 1_000_000, 10, 10, 5_000_000, 10];
    for (const [n, size] of sizes.entries())
      await store.append(`order-${n}`, -1, [eventOf('OrderTracked', { text: 'x'.repeat(size) })]);
    const { eventFeed } = await serve(store);
    const feeding = new Feeding(eventFeed);
    await feeding.caughtUp();
    expect(feeding.ids).toEqual(store.log.map(({ id }) => id));
    // Between two messages it can be gone on from, although they were fetched together.
    const rest = new Feeding(eventFeed, {
      watch: { resumeToken: feeding.messages[0]?.header?.resumeToken ?? '' },
    });
    await rest.caughtUp();
    expect(rest.ids).toEqual(feeding.ids.slice(2));
    const bytes = feeding.batches.map((events) =>
      events.reduce((sum, { dataJson }) => sum + dataJson.length, 0),
    );
    for (const [n, events] of feeding.batches.entries()) {
      if (events.length > 1) expect(bytes[n]).toBeLessThanOrEqual(256 * 1024);
    }
    expect(feeding.batches.map(({ length }) => length)).toEqual([2, 1, 1, 4]);
    expect(feeding.events.map(({ omittedBytes }) => omittedBytes)).toEqual([
      0n,
      0n,
      0n,
      0n,
      0n,
      0n,
      BigInt(store.log[6]?.data.length ?? 0),
      0n,
    ]);
    expect(feeding.events[6]?.dataJson).toBe('');
  });

  test('that fails inside is INTERNAL, and ends alone', async () => {
    const store = new MemoryEventStore();
    let fails = true;
    const { eventFeed } = await serve(store, {
      subscribe: (options) => {
        if (fails) throw new Error('secret');
        return store.subscribe(options);
      },
    });
    const feeding = new Feeding(eventFeed);
    await until(() => feeding.ended !== undefined);
    expect(feeding.ended?.code).toBe('INTERNAL');
    expect(feeding.ended?.message).not.toContain('secret');
    fails = false;
    await new Feeding(eventFeed).caughtUp();
  });
});

describe('a feed whose subscription is over', () => {
  test.each([
    ['ends', undefined, { code: 'UNAVAILABLE', reason: 'STORE_UNAVAILABLE' }],
    ['is closed', new EventStoreUnavailable('closed'), { code: 'UNAVAILABLE', reason: 'STORE_UNAVAILABLE' }],
    ['is broken', new Error('secret'), { code: 'INTERNAL' }],
  ])('ends at once when the log %s, and its token goes on elsewhere', async (_, failure, status) => {
    const store = new MemoryEventStore();
    const ids = await fill(store, 3);
    const { opened, open } = gate();
    const { eventFeed } = await serve(store, {
      async *subscribe() {
        yield { events: [...store.log], through: await store.head(), caughtUp: true };
        await opened;
        if (failure) throw failure;
      },
    });
    const feeding = new Feeding(eventFeed);
    await feeding.caughtUp();
    // Nothing else would wake it: its heartbeats are seldom.
    open();
    await until(() => feeding.ended !== undefined);
    expect(feeding.ended).toMatchObject(status);
    expect(feeding.ended?.message).not.toContain('secret');
    const more = await fill(store, 2);
    const { eventFeed: another } = await serve(store);
    const again = new Feeding(another, { watch: { resumeToken: feeding.token } });
    await again.caughtUp();
    expect([...feeding.ids, ...again.ids]).toEqual([...ids, ...more]);
  });
});

/** A log that counts what is fetched from it, and who does. */
class CountedStore extends MemoryEventStore {
  fetched = 0;
  followers = 0;

  override async *subscribe(options: SubscribeOptions) {
    this.followers++;
    try {
      for await (const batch of super.subscribe(options)) {
        this.fetched += batch.events.length;
        yield batch;
      }
    } finally {
      this.followers--;
    }
  }
}

describe('a client of the feed that does not read', () => {
  const filled = async (): Promise<CountedStore> => {
    const store = new CountedStore();
    const text = 'x'.repeat(5_000);
    const events = Array.from({ length: 4_000 }, () => eventOf('OrderTracked', { text }));
    await store.append('order-1', -1, events);
    return store;
  };
  const smallWindow = (api: TestApi) =>
    api.connect(EventFeedServiceClient, { 'grpc-node.flow_control_window': 65_535 });

  test('has nothing fetched for it, and misses nothing when it reads again', async () => {
    const store = await filled();
    const api = await serve(store);
    const slow = new Feeding(smallWindow(api), { paused: true });
    await until(() => store.fetched > 0);
    let before = -1;
    while (before !== store.fetched) {
      before = store.fetched;
      await delay(50);
    }
    // 4,000 are there; by itself the transport takes 16 messages of some 50 events, and a batch or two are on the way.
    expect(before).toBeLessThan(2_500);
    const healthy = new Feeding(api.eventFeed);
    await healthy.caughtUp();
    slow.call.resume();
    await slow.caughtUp();
    expect(slow.ids).toEqual(healthy.ids);
    expect(slow.sequence).toEqual(upTo(slow.sequence.length));
  });

  test('is cut off, and nothing is held afterwards', async () => {
    const store = await filled();
    const api = await serve(store, { limits: { writeStallMs: 100 } });
    const slow = new Feeding(smallWindow(api), { paused: true });
    await until(() => slow.ended !== undefined);
    expect(slow.ended?.code).toBe('RESOURCE_EXHAUSTED');
    await until(() => store.followers === 0);
  });

  test('gives everything back when it goes, in the middle or at the end', async () => {
    const store = await filled();
    const api = await serve(store);
    const [slow, idle] = [new Feeding(smallWindow(api), { paused: true }), new Feeding(api.eventFeed)];
    await idle.caughtUp();
    expect(store.followers).toBe(2);
    await Promise.all([slow.stop(), idle.stop()]);
    await until(() => store.followers === 0);
  });
});

interface LogKind {
  readonly name: string;
  /** How to open it once more, as another instance would. */
  start(): Promise<() => Promise<EventStore>>;
}

const stores: readonly LogKind[] = [
  {
    name: 'in memory',
    start() {
      const store = new MemoryEventStore();
      return Promise.resolve(() => Promise.resolve(store));
    },
  },
  ...[{}, { events: 16 }].map((tail) => ({
    name: `of Postgres${'events' in tail ? ', a tiny ring' : ''}`,
    async start() {
      const database = await createTestDatabase();
      onTestFinished(() => database.drop());
      return () => openPostgresEventStore({ connectionString: database.url, tail });
    },
  })),
  ...[...fixtures, ...realServers].map((kind) => ({
    name: `of ${kind.name}`,
    async start() {
      const server = await kind.start();
      onTestFinished(() => server.stop());
      const namespace = `test_${randomUUID().replaceAll('-', '')}`;
      return () => openEventStoreDb({ connectionString: server.connectionString, namespace });
    },
  })),
];

describe.each(stores)('the feed of a log $name', ({ start }) => {
  test('brings what is new to who waits, whichever instance stored it', async () => {
    const another = await start();
    const opened = [await another(), await another()] as const;
    onTestFinished(async () => {
      for (const store of opened) await store.close();
    });
    const { eventFeed } = await serve(opened[0]);
    const feeding = [new Feeding(eventFeed), new Feeding(eventFeed, { types: ['StockSold'] })] as const;
    await Promise.all(feeding.map((one) => one.caughtUp()));
    const ids: string[] = [];
    for (const store of [...opened, ...opened]) {
      ids.push(...(await fill(store, 1, 'OrderTracked')), ...(await fill(store, 1, 'StockSold')));
      await until(() => feeding[0].ids.length === ids.length && feeding[1].ids.length === ids.length / 2);
    }
    expect(feeding[0].ids).toEqual(ids);
    expect(feeding[1].ids).toEqual(ids.filter((_, n) => n % 2 === 1));
  });

  test('brings every event exactly once over disconnections, whichever instance is asked', async () => {
    const another = await start();
    const opened = [await another(), await another()];
    onTestFinished(async () => {
      for (const store of opened) await store.close();
    });
    const apis = await Promise.all(opened.map((store) => serve(store)));
    const written: { id: string; type: string }[] = [];
    const readers = [[], ['RebateAccrued', 'StockSold']].map((narrow) => ({
      narrow,
      token: '',
      ids: [''].slice(1),
    }));

    const step = fc.record({
      /** Events of each append. */
      appends: fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 12 }),
      writer: fc.integer({ min: 0, max: 1 }),
      reader: fc.integer({ min: 0, max: 1 }),
      instance: fc.integer({ min: 0, max: 1 }),
      /** After so many messages the stream is broken off. */
      messages: fc.integer({ min: 1, max: 4 }),
    });
    const read = async (
      n: number,
      instance: number,
      isEnough: (feeding: Feeding) => boolean,
    ): Promise<void> => {
      const [reader, api] = [readers[n], apis[instance]];
      if (!reader || !api) throw new Error('there are two');
      const feeding = new Feeding(api.eventFeed, {
        types: reader.narrow,
        watch: { resumeToken: reader.token },
      });
      await until(() => isEnough(feeding));
      await feeding.stop();
      expect(feeding.sequence).toEqual(upTo(feeding.sequence.length));
      reader.ids.push(...feeding.ids);
      // Every message brings a token, so the last speaks of all that came.
      for (const { header, event } of feeding.messages)
        if (event?.$case !== 'fellBehind') expect(header?.resumeToken).not.toBe('');
      reader.token = feeding.token;
    };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
        for (const { appends, writer, reader, instance, messages } of steps) {
          const writing = (async () => {
            for (const count of appends) {
              const events = Array.from({ length: count }, (_, n) => eventOf(types[(count + n) % 4] ?? ''));
              await opened[writer]?.append(`order-${randomUUID()}`, -1, events);
              written.push(...events);
            }
          })();
          await read(
            reader,
            instance,
            ({ messages: { length }, words }) => length >= messages || words.includes('caughtUp'),
          );
          await writing;
        }
      }),
      { numRuns: 8 },
    );
    for (const [n, { narrow, ids }] of readers.entries()) {
      const wanted = written.filter(
        ({ type }) => narrow.length === 0 || narrow.includes(type.replace(stored, '')),
      );
      const missing = wanted.length - ids.length;
      await read(n, n, ({ events }) => events.length >= missing);
      expect(ids).toEqual(wanted.map(({ id }) => id));
    }
  });
});
