/** Subscriptions to EventStoreDB over everything that ends, stalls or moves them: every event once, in log order. */
import fc from 'fast-check';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { openEventStoreDb } from '../../src/eventstore/eventstoredb/index.ts';
import {
  type EventStore,
  EventStoreUnavailable,
  type LogBatch,
  logStart,
  noStream,
  type Position,
} from '../../src/eventstore/port.ts';
import { type EventStoreDb, type Fault, type Refusal, refusals } from '../support/eventstoredb/index.ts';
import { start } from '../support/eventstoredb/testing.ts';
import { expectNoStrayErrors, insist, open, optionsFor, until } from './eventstoredb-stores.ts';
import { append, follow, idsOf, newEvents, newStream, rejection, toArray } from './samples.ts';

expectNoStrayErrors();

/** Ids of what is stored after a position, in log order. */
const idsAfter = (server: EventStoreDb, after: Position): string[] =>
  server.log
    .events()
    .filter(({ stream, position }) => stream.startsWith('test.') && BigInt(position) > after.commit)
    .map(({ id }) => id);

/** Appends until the log has it. */
async function write(store: EventStore, stream: string, sizes: readonly number[]): Promise<void> {
  let revision = noStream;
  for (const size of sizes) {
    const events = newEvents(size);
    const { value } = await insist(() => store.append(stream, revision, events));
    if (value.kind !== 'appended') throw new Error(value.kind);
    ({ revision } = value);
  }
}

interface Line {
  readonly level: string;
  readonly message: string;
}

function recorder(): { readonly lines: Line[]; readonly log: (level: string, message: string) => void } {
  const lines: Line[] = [];
  return { lines, log: (level, message) => void lines.push({ level, message }) };
}

const refuse = (refusal: Refusal): Fault => ({ kind: 'refuse', refusal });

const endings: Readonly<Record<string, Fault>> = {
  'its connection is cut': { kind: 'drop' },
  'it ends with OK': { kind: 'end' },
  'it falls silent': { kind: 'hang' },
  'it fails: unavailable': refuse(refusals.unavailable()),
  'it fails: cancelled': refuse(refusals.cancelled()),
  'it fails: unknown': refuse(refusals.unknown()),
  'it fails: timeout': refuse(refusals.timeout()),
  'it fails: not ready': refuse(refusals.notReady()),
  'it fails: access denied': refuse(refusals.accessDenied()),
  'it fails: not the leader, whose address is not told': refuse({
    ...refusals.notLeader('', 0),
    trailers: { exception: 'not-leader' },
  }),
  'it is ended for slowness': refuse(refusals.consumerTooSlow()),
};

describe.each(Object.entries(endings))('a subscription: %s', (_, fault) => {
  test.each([0, 1, 7])('after %i events: the others come', async (afterEvents) => {
    const server = await start();
    const store = await open(server);
    const after = await store.head();
    const rule = server.faults.next({ on: 'subscribe', fault, afterEvents });
    const seen = follow(store, after, (events) => events.length >= 20);
    await until(() => expect(server.calls.started('subscribe')).toBeGreaterThan(0));
    await write(store, newStream(), [5, 5, 5, 5]);
    expect(idsOf(await seen)).toEqual(idsAfter(server, after));
    expect(rule.hits).toBe(1);
    expect(server.calls.started('subscribe')).toBeGreaterThan(1);
  });
});

describe('a subscription', () => {
  test('says once that it ended, and nothing when it was ended for slowness', async () => {
    const server = await start({ slowConsumers: 'drop' });
    const { lines, log } = recorder();
    const store = await open(server, { log });
    const after = await store.head();
    const seen = follow(store, after, (events) => events.length >= 1_501);
    await until(() => expect(server.calls.open('subscribe')).toBe(1));
    // More at once than the server holds for a live consumer, who cannot do anything about it.
    for (let n = 0; n < 3; n++) await append(store, newStream(), noStream, newEvents(500));
    await until(() => expect(server.calls.slowConsumers).toBeGreaterThan(0));
    expect(lines.filter(({ level }) => level !== 'debug')).toEqual([]);

    await until(() => expect(server.calls.open('subscribe')).toBe(1));
    server.calls.end('subscribe');
    await append(store, newStream(), noStream, newEvents(1));
    expect(idsOf(await seen)).toEqual(idsAfter(server, after));
    expect(lines.filter(({ level }) => level !== 'debug')).toEqual([
      { level: 'warn', message: 'subscription to the event log ended, starting it again' },
    ]);
  });

  test('that falls silent every time misses nothing once one speaks again', async () => {
    const server = await start();
    const store = await open(server);
    const after = await store.head();
    const seen = follow(store, after, (events) => events.length >= 30);
    await until(() => expect(server.calls.open('subscribe')).toBe(1));
    await write(store, newStream(), [10]);
    const silent = server.faults.always({ on: 'subscribe', fault: { kind: 'hang' } });
    server.calls.end('subscribe');
    await silent.struck();
    await write(store, newStream(), [10]);
    await silent.struck(3);
    silent.release();
    await write(store, newStream(), [10]);
    expect(idsOf(await seen)).toEqual(idsAfter(server, after));
    await until(() => expect(server.calls.open('subscribe')).toBe(0));
  });

  test('that falls silent before it has said that it is caught up says so all the same, on a quiet log', async () => {
    const server = await start();
    const store = await open(server);
    const after = await store.head();
    const seen = follow(store, after, (events, { caughtUp }) => caughtUp && events.length >= 1);
    await until(() => expect(server.calls.open('subscribe')).toBe(1));
    const silent = server.faults.always({ on: 'subscribe', fault: { kind: 'hang' } });
    server.calls.end('subscribe');
    await silent.struck();
    await write(store, newStream(), [1]);
    server.faults.next({ on: 'subscribe', fault: { kind: 'hang' }, afterEvents: 1 });
    silent.release();
    expect(idsOf(await seen)).toEqual(idsAfter(server, after));
  });

  test('on a quiet log is left in peace', async () => {
    const server = await start();
    const store = await open(server);
    const abort = new AbortController();
    const batches = toArray(store.subscribe({ after: await store.head(), signal: abort.signal }));
    await until(() => expect(server.calls.started('read')).toBeGreaterThan(10));
    expect(server.calls.started('subscribe')).toBe(1);
    abort.abort();
    expect((await batches).map(({ events, caughtUp }) => [events.length, caughtUp])).toEqual([[0, true]]);
  });

  test('cannot read at first: reads that fail in any way are repeated', async () => {
    const server = await start();
    const store = await open(server);
    await write(store, newStream(), [500, 500, 500, 500, 500]);
    const reads: Fault[] = [
      { kind: 'drop' },
      { kind: 'hang' },
      refuse(refusals.unavailable()),
      refuse(refusals.unknown()),
    ];
    for (const afterEvents of [0, 700]) {
      for (const fault of reads) server.faults.next({ on: 'read', fault, afterEvents, stream: '$all' });
    }
    const seen = await follow(store, logStart, (events, { caughtUp }) => caughtUp && events.length >= 2_500);
    expect(idsOf(seen)).toEqual(idsAfter(server, logStart));
  });

  test('goes on after a stored position, by another process, over restarts of the server', async () => {
    const server = await start();
    const after = await (await open(server)).head();
    const writer = await open(server);
    const sizes = Array.from({ length: 40 }, (_, n) => 1 + (n % 7));
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const writing = write(writer, newStream(), sizes);
    const seen: string[] = [];
    let position = after;
    for (let life = 0; seen.length < total; life++) {
      const store = (await insist(() => openEventStoreDb(optionsFor(server)))).value;
      const part = await follow(
        store,
        position,
        (events) => events.length >= 20 || seen.length + events.length >= total,
        {
          maxBatch: 9,
          onBatch: ({ through }) => {
            position = through;
          },
        },
      );
      seen.push(...idsOf(part));
      await store.close();
      if (life % 3 === 1) await server.leader.restart();
      if (life % 3 === 2) {
        await server.leader.shutDown();
        await server.leader.start();
      }
    }
    await writing;
    expect(seen).toEqual(idsAfter(server, after));
  });

  test('ends with EventStoreUnavailable when its store closes, whatever it is doing', async () => {
    const server = await start();
    const store = await openEventStoreDb(optionsFor(server));
    await write(store, newStream(), [3]);
    const beyond = { commit: 1_000_000_000n, prepare: 1_000_000_000n };
    const waiting = [logStart, await store.head(), beyond].map(async (after) => {
      await toArray(store.subscribe({ after, signal: new AbortController().signal }));
    });
    const rejections = waiting.map(rejection);
    await until(() => expect(server.calls.open('subscribe')).toBe(1));
    await store.close();
    for (const error of await Promise.all(rejections)) expect(error).toBeInstanceOf(EventStoreUnavailable);
    const late = toArray(store.subscribe({ after: logStart, signal: new AbortController().signal }));
    expect(await rejection(late)).toBeInstanceOf(EventStoreUnavailable);
  });
});

describe('every event comes once and in order over', () => {
  const changes: Readonly<Record<string, (server: EventStoreDb) => Promise<void> | void>> = {
    'a change of leader that its subscriptions survive': (server) =>
      server.changeLeader({ subscriptions: 'survive' }),
    'a change of leader that drops them': (server) => server.changeLeader({ subscriptions: 'drop' }),
    'a killed and restarted leader': (server) => server.leader.restart(),
    'a killed leader, another taking over': async (server) => {
      await server.leader.stop();
      server.changeLeader();
    },
    'a leader that shuts down, another taking over': async (server) => {
      await server.leader.shutDown();
      server.changeLeader();
    },
    'a frozen leader, another taking over': (server) => {
      server.leader.freeze();
      server.changeLeader();
    },
    'connections that are all reset': (server) => {
      for (const node of server.nodes) node.dropConnections();
    },
  };
  test.each(Object.entries(changes))('%s', async (_, change) => {
    const server = await start({ nodes: 3 });
    const writers = [await open(server), await open(server)];
    const reader = await open(server);
    const after = await reader.head();
    const sizes = Array.from({ length: 20 }, () => 5);
    const seen = follow(reader, after, (events) => events.length >= 200);
    await until(() => expect(server.calls.open('subscribe')).toBe(1));
    const writing = Promise.all(writers.map((store) => write(store, newStream(), sizes)));
    await until(() => expect(idsAfter(server, after).length).toBeGreaterThan(50));
    await change(server);
    await writing;
    expect(idsOf(await seen)).toEqual(idsAfter(server, after));
  });
});

describe('over any faults', () => {
  type Disturbance = (server: EventStoreDb) => Promise<void> | void;
  const disturbances: readonly Disturbance[] = [
    (server) => server.leader.dropConnections(),
    (server) => server.calls.end('subscribe'),
    (server) => server.calls.refuse('subscribe', refusals.unavailable()),
    (server) => server.calls.refuse('subscribe', refusals.consumerTooSlow()),
    (server) => server.calls.refuse('read', refusals.timeout()),
    (server) => void server.faults.next({ on: 'subscribe', fault: { kind: 'hang' }, afterEvents: 2 }),
    (server) => void server.faults.next({ on: 'subscribe', fault: { kind: 'end' }, afterEvents: 1 }),
    (server) => void server.faults.next({ on: 'subscribe', fault: refuse(refusals.unknown()) }, 2),
    (server) => void server.faults.next({ on: 'read', fault: { kind: 'drop' }, afterEvents: 3 }),
    (server) => void server.faults.next({ on: 'read', fault: refuse(refusals.notReady()) }, 2),
    (server) => void server.faults.next({ on: 'read', fault: { kind: 'hang' }, afterEvents: 5 }),
    (server) => void server.faults.next({ on: 'batchAppend', fault: { kind: 'drop' }, at: 'answer' }),
    (server) => server.changeLeader({ subscriptions: 'survive' }),
    (server) => server.changeLeader({ subscriptions: 'drop' }),
    (server) => server.leader.restart(),
    async (server) => {
      const silent = server.faults.always({ on: 'subscribe', fault: { kind: 'hang' } });
      server.calls.end('subscribe');
      await delay(30);
      silent.release();
    },
  ];
  const plan = fc.record({
    writers: fc.array(fc.array(fc.integer({ min: 1, max: 25 }), { minLength: 1, maxLength: 10 }), {
      minLength: 1,
      maxLength: 4,
    }),
    disturbances: fc.array(
      fc.record({ which: fc.nat(disturbances.length - 1), pause: fc.integer({ min: 0, max: 15 }) }),
      { maxLength: 8 },
    ),
    maxBatch: fc.integer({ min: 1, max: 40 }),
    laziness: fc.integer({ min: 0, max: 3 }),
  });

  test('three subscribers of different speeds get every event once, in log order', async () => {
    const server = await start({ nodes: 3, slowConsumers: 'drop' });
    const [roomy, tiny] = [await open(server), await open(server, { tail: { events: 16 } })];

    await fc.assert(
      fc.asyncProperty(plan, async (plan) => {
        const after = (await insist(() => roomy.head())).value;
        const total = plan.writers.flat().reduce((sum, size) => sum + size, 0);
        const done = (events: readonly unknown[], batch: LogBatch): boolean =>
          events.length >= total && batch.caughtUp;
        const lazily = (turns: number) => async (): Promise<void> => {
          for (let turn = 0; turn < turns; turn++) await nextTurn();
        };
        const subscribers = [
          follow(roomy, after, done),
          follow(roomy, after, done, { maxBatch: plan.maxBatch, onBatch: lazily(plan.laziness) }),
          follow(tiny, after, done, { maxBatch: 7, onBatch: lazily(1) }),
        ];
        const writing = plan.writers.map((sizes, n) => write(n % 2 ? roomy : tiny, newStream(), sizes));
        for (const { which, pause } of plan.disturbances) {
          await delay(pause);
          await disturbances[which]?.(server);
        }
        await Promise.all(writing);
        const expected = idsAfter(server, after);
        expect(expected).toHaveLength(total);
        for (const seen of await Promise.all(subscribers)) expect(idsOf(seen)).toEqual(expected);
        server.faults.clear();
      }),
      { numRuns: 15 },
    );
  });
});

describe('no call is left open on the server', () => {
  const nothingOpen = (server: EventStoreDb): Promise<void> =>
    until(() => {
      expect([server.calls.open('read'), server.calls.open('subscribe')]).toEqual([0, 0]);
    });

  test('by readers that leave early, throw or abort', async () => {
    const server = await start();
    const store = await open(server);
    const stream = newStream();
    for (let n = 0; n < 20; n++) await append(store, stream, n * 100 - 1, newEvents(100));
    for (let n = 0; n < 5; n++) {
      for await (const _ of store.readStream(stream)) break;
      const failing = async (): Promise<void> => {
        for await (const event of store.readStream(stream, { from: n })) throw new Error(event.stream);
      };
      expect(await rejection(failing())).toMatchObject({ message: stream });
      const abort = new AbortController();
      const aborting = async (): Promise<void> => {
        for await (const _ of store.readStream(stream, { signal: abort.signal })) abort.abort();
      };
      expect(await rejection(aborting())).toMatchObject({ name: 'AbortError' });
    }
    await nothingOpen(server);
  });

  test('by subscribers that leave early, throw or abort, wherever they are', async () => {
    const server = await start();
    const store = await open(server, { tail: { events: 16 } });
    await write(store, newStream(), [200, 200]);
    for (const after of [logStart, await store.head()]) {
      for (let n = 0; n < 3; n++) {
        const { signal } = new AbortController();
        for await (const _ of store.subscribe({ after, signal, maxBatch: 3 })) break;
        const failing = async (): Promise<void> => {
          for await (const batch of store.subscribe({ after, signal })) throw new Error(typeof batch);
        };
        expect(await rejection(failing())).toMatchObject({ message: 'object' });
        const abort = new AbortController();
        for await (const _ of store.subscribe({ after, signal: abort.signal, maxBatch: 3 })) abort.abort();
        const sleeper = new AbortController();
        const sleeping = toArray(store.subscribe({ after, signal: sleeper.signal }));
        await until(() => expect(server.calls.open('subscribe')).toBe(1));
        sleeper.abort();
        await sleeping;
      }
    }
    await nothingOpen(server);
    // One subscription serves all there are, and goes with the last of them.
    const aborts = Array.from({ length: 5 }, () => new AbortController());
    const all = aborts.map(({ signal }) => toArray(store.subscribe({ after: logStart, signal })));
    await until(() => expect(server.calls.open('subscribe')).toBe(1));
    for (const abort of aborts) {
      expect(server.calls.open('subscribe')).toBe(1);
      abort.abort();
    }
    await Promise.all(all);
    await nothingOpen(server);
  });

  test('by closing, also with reads that hang, and after faults', async () => {
    const server = await start();
    const store = await openEventStoreDb(optionsFor(server));
    await write(store, newStream(), [10]);
    const subscribed = toArray(
      store.subscribe({ after: logStart, signal: new AbortController().signal }),
    ).catch(() => []);
    await until(() => expect(server.calls.open('subscribe')).toBe(1));
    server.calls.end('subscribe');
    server.calls.end('batchAppend');
    await until(() => expect(server.calls.started('subscribe')).toBe(2));
    server.faults.next({ on: 'read', fault: { kind: 'hang' } }, 2);
    const hanging = rejection(store.head());
    await write(store, newStream(), [1]);
    await store.close();
    await subscribed;
    await hanging;
    await nothingOpen(server);
    await until(() => expect(server.calls.open('batchAppend')).toBe(0));
  });
});
