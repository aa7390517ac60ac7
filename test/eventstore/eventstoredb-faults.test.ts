/** Appends to EventStoreDB, and the opening of its logs, over everything that servers and networks do wrong. */
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { jsonEvent } from '@eventstore/db-client';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openEventStoreDb, openEventStoreDbCopy } from '../../src/eventstore/eventstoredb/index.ts';
import {
  type AppendResult,
  AppendTooLarge,
  CopyRefused,
  type CopyTarget,
  type EventStore,
  EventStoreUnavailable,
  type NewEvent,
  noStream,
} from '../../src/eventstore/port.ts';
import { type EventStoreDb, type Fault, refusals } from '../support/eventstoredb/index.ts';
import { connect as connectBare, start } from '../support/eventstoredb/testing.ts';
import { deadline, expectNoStrayErrors, insist, open, optionsFor, until } from './eventstoredb-stores.ts';
import { append, follow, idsOf, newEvent, newEvents, newStream, rejection, toArray } from './samples.ts';

expectNoStrayErrors();

const idsIn = (server: EventStoreDb, stream?: string): string[] =>
  server.log
    .events(stream)
    .filter((event) => event.stream.startsWith('test.'))
    .map(({ id }) => id);

const refuse = (refusal: Extract<Fault, { kind: 'refuse' }>['refusal']): Fault => ({
  kind: 'refuse',
  refusal,
});

/** After any of these nobody knows what has become of the append. */
const unknownOutcomes: Readonly<Record<string, Fault>> = {
  'its connection is cut': { kind: 'drop' },
  'it is never answered': { kind: 'hang' },
  'the call ends with OK': { kind: 'end' },
  'the server says: timeout': refuse(refusals.timeout()),
  'the server says: not ready': refuse(refusals.notReady()),
  'the server says: too busy': refuse(refusals.tooBusy()),
  'the server says: unknown': refuse(refusals.unknown()),
  'the server says: access denied': refuse(refusals.accessDenied()),
  'the call fails: unauthenticated': refuse(refusals.unauthenticated()),
  'the call fails: unavailable': refuse(refusals.unavailable()),
  'the call fails: cancelled': refuse(refusals.cancelled()),
  'the call fails: not the leader, whose address is not told': refuse({
    ...refusals.notLeader('', 0),
    trailers: { exception: 'not-leader' },
  }),
};

describe.each(Object.entries(unknownOutcomes))('an append: %s', (_, fault) => {
  test.each(['request', 'answer'] as const)(
    'at the %s: repeated with the same ids it is there once',
    async (at) => {
      const server = await start();
      const store = await open(server);
      const stream = newStream();
      const [first, second] = [newEvents(2), newEvents(3)];
      await append(store, stream, noStream, first);

      server.faults.next({ on: 'batchAppend', fault, at });
      expect(await rejection(store.append(stream, 1, second))).toBeInstanceOf(EventStoreUnavailable);
      expect(idsIn(server)).toEqual(idsOf(at === 'answer' ? [...first, ...second] : first));

      const { value } = await insist(() => store.append(stream, 1, second));
      expect(value).toMatchObject({ kind: 'appended', revision: 4 });
      expect(idsIn(server)).toEqual(idsOf([...first, ...second]));
      expect(idsOf(await toArray(store.readStream(stream)))).toEqual(idsOf([...first, ...second]));
    },
  );
});

describe('an append', () => {
  test('refused by a node that is not the leader any more goes to the one it names', async () => {
    const server = await start();
    const store = await open(server);
    const refusal = refusals.notLeader('127.0.0.1', server.leader.port);
    server.faults.next({ on: 'batchAppend', fault: refuse(refusal) });
    const { value, unknown } = await insist(() => store.append(newStream(), noStream, newEvents(1)));
    expect(value.kind).toBe('appended');
    expect(unknown).toBe(1);
  });

  test('answered twice is appended, and so is the next', async () => {
    const server = await start();
    const store = await open(server);
    const rule = server.faults.next({ on: 'batchAppend', fault: { kind: 'twice' } }, 3);
    for (let n = -1; n < 5; n++) {
      expect(await store.append('s', n, newEvents(1))).toMatchObject({ kind: 'appended', revision: n + 1 });
    }
    expect(rule.hits).toBe(3);
    expect(server.calls.started('batchAppend')).toBe(1);
  });

  test('answered after it was given up and repeated: nobody minds, and the call serves on', async () => {
    const server = await start();
    const store = await open(server);
    const other = server.faults.next({
      on: 'batchAppend',
      fault: { kind: 'hold' },
      at: 'answer',
      stream: 'test.b',
    });
    const late = server.faults.next({
      on: 'batchAppend',
      fault: { kind: 'hold' },
      at: 'answer',
      stream: 'test.a',
    });
    const event = newEvent();
    const answered = store.append('b', noStream, newEvents(1));
    const given = rejection(store.append('a', noStream, [event]));
    await late.struck();
    // The server lives, as this answer tells: the call is not given up with the append.
    other.release();
    expect(await answered).toMatchObject({ kind: 'appended' });
    expect(await given).toBeInstanceOf(EventStoreUnavailable);

    const repeated = store.append('a', noStream, [event]);
    late.release();
    expect(await repeated).toMatchObject({ kind: 'appended', revision: 0 });
    expect(await store.append('a', 0, newEvents(1))).toMatchObject({ kind: 'appended', revision: 1 });
    expect(server.calls.started('batchAppend')).toBe(1);
  });

  test('that arrives late, after its repetition, is not stored again', async () => {
    const server = await start();
    const store = await open(server);
    const events = newEvents(2);
    const late = server.faults.next({ on: 'batchAppend', fault: { kind: 'hold' } });
    expect(await rejection(store.append('s', noStream, events))).toBeInstanceOf(EventStoreUnavailable);
    expect((await insist(() => store.append('s', noStream, events))).value).toMatchObject({ revision: 1 });
    late.release();
    expect(await store.append('s', 1, newEvents(1))).toMatchObject({ kind: 'appended', revision: 2 });
    expect(server.log.events('test.s')).toHaveLength(3);
  });

  test('whose place the server cannot tell is looked up', async () => {
    const server = await start();
    const store = await open(server);
    const events = newEvents(2);
    const result = await store.append('s', noStream, events);
    await store.append('s', 1, newEvents(1));
    server.faults.replaysWithoutPosition = true;
    expect(await store.append('s', noStream, events)).toEqual(result);
  });

  test('to a stream that has been tombstoned fails for good, and says so, as reading it does', async () => {
    const server = await start();
    const store = await open(server);
    await store.append('s', noStream, newEvents(1));
    await connectBare(server).tombstoneStream('test.s');
    const failures = [store.append('s', 0, newEvents(1)), toArray(store.readStream('s'))].map(rejection);
    for (const error of await Promise.all(failures)) {
      expect(error).toMatchObject({ name: 'StreamTombstoned' });
      expect(error).not.toBeInstanceOf(EventStoreUnavailable);
    }
    expect(await store.append('t', noStream, newEvents(1))).toMatchObject({ kind: 'appended' });
  });

  test('that the server does not understand is not repeated for ever', async () => {
    const server = await start();
    const store = await open(server);
    server.faults.next({ on: 'batchAppend', fault: refuse(refusals.badRequest('no such thing')) });
    const error = await rejection(store.append('s', noStream, newEvents(1)));
    expect(error).not.toBeInstanceOf(EventStoreUnavailable);
    expect(error).toMatchObject({ message: expect.stringContaining('no such thing') });
  });

  test('refused in the middle of others that share its call harms none of them', async () => {
    const server = await start();
    const store = await open(server);
    server.faults.next({ on: 'batchAppend', fault: refuse(refusals.timeout()), stream: 'test.3' });
    server.faults.next({ on: 'batchAppend', fault: { kind: 'hang' }, stream: 'test.5' });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 8 }, (_, n) => store.append(`${n}`, noStream, newEvents(1))),
    );
    expect(outcomes.flatMap(({ status }, n) => (status === 'rejected' ? [n] : []))).toEqual([3, 5]);
  });
});

describe('one store in trouble', () => {
  const troubles: Readonly<Record<string, Fault>> = {
    'its connection is cut': { kind: 'drop' },
    'its call ends': { kind: 'end' },
    'its call fails': refuse(refusals.unavailable()),
    'it is not answered': { kind: 'hang' },
  };
  test.each(Object.entries(troubles))('rejects no append of another: %s', async (_, fault) => {
    const server = await start();
    // Clients with the same settings share their TCP connection.
    const [well, sick] = [await open(server), await open(server, { parameters: '&keepAliveTimeout=9999' })];
    const held = server.faults.next({
      on: 'batchAppend',
      fault: { kind: 'hold' },
      at: 'answer',
      stream: 'test.well',
    });
    server.faults.next({ on: 'batchAppend', fault, stream: 'test.sick' });
    const answer = well.append('well', noStream, newEvents(1));
    await held.struck();
    const failing = rejection(sick.append('sick', noStream, newEvents(1)));
    if (fault.kind !== 'hang') expect(await failing).toBeInstanceOf(EventStoreUnavailable);
    held.release();
    expect(await answer).toMatchObject({ kind: 'appended', revision: 0 });
    expect(await failing).toBeInstanceOf(EventStoreUnavailable);
    expect(await well.append('well', 0, newEvents(1))).toMatchObject({ kind: 'appended' });
    expect((await insist(() => sick.append('sick', noStream, newEvents(1)))).value.kind).toBe('appended');
  });

  test('never seen to end: closing it settles what is under way', async () => {
    const server = await start();
    const store = await open(server);
    server.faults.next({ on: 'batchAppend', fault: { kind: 'hang' } });
    const hanging = rejection(store.append('s', noStream, newEvents(1)));
    await store.close();
    expect(await hanging).toBeInstanceOf(EventStoreUnavailable);
    await until(() => expect(server.calls.open('batchAppend')).toBe(0));
  });
});

describe('over any faults', () => {
  interface Command {
    readonly store: number;
    readonly stream: number;
    /** Behind the end that the writer knows of: a conflict. */
    readonly behind: number;
    readonly size: number;
    /** Awaited before the store's next one. */
    readonly inTurn: boolean;
    readonly fault: Fault | undefined;
    readonly at: 'request' | 'answer';
  }

  const faults = fc.oneof(
    { weight: 4, arbitrary: fc.constant(undefined) },
    { weight: 3, arbitrary: fc.constantFrom(...Object.values(unknownOutcomes)) },
    {
      weight: 1,
      arbitrary: fc.constantFrom<Fault>({ kind: 'twice' }, { kind: 'hold' }, { kind: 'delay', ms: 5 }),
    },
  );
  const plan = fc.array(
    fc.record<Command>({
      store: fc.integer({ min: 0, max: 1 }),
      stream: fc.integer({ min: 0, max: 2 }),
      behind: fc.oneof(
        { weight: 5, arbitrary: fc.constant(0) },
        { weight: 1, arbitrary: fc.integer({ min: 1, max: 3 }) },
      ),
      size: fc.integer({ min: 1, max: 4 }),
      inTurn: fc.boolean(),
      fault: faults,
      at: fc.constantFrom('request', 'answer'),
    }),
    { minLength: 1, maxLength: 14 },
  );

  test('the log holds each acknowledged append exactly once, no conflict, and nothing else', async () => {
    const server = await start();
    const stores = [await open(server), await open(server)];
    const outcomes = { appended: 0, conflict: 0 };

    const run = async (commands: readonly Command[]): Promise<void> => {
      const names = Array.from({ length: 3 }, () => newStream());
      const before = idsIn(server).length;
      const ends = new Map<string, number>();
      const stored = new Map<string, { readonly revision: number; readonly events: readonly NewEvent[] }[]>();
      const conflicting: NewEvent[] = [];

      const perform = async (store: EventStore, command: Command): Promise<void> => {
        const stream = names[command.stream] ?? '';
        const expected = Math.max(noStream, (ends.get(stream) ?? noStream) - command.behind);
        const events = newEvents(command.size);
        const { fault, at } = command;
        const rule = fault && server.faults.next({ on: 'batchAppend', fault, at, stream: `test.${stream}` });
        const ask = async (): Promise<AppendResult> => store.append(stream, expected, events);
        const { value } = await insist(ask);
        if (value.kind === 'id-in-use') throw new Error('there is no such answer here');
        outcomes[value.kind]++;
        if (value.kind === 'conflict') {
          conflicting.push(...events);
          ends.set(stream, Math.max(ends.get(stream) ?? noStream, value.actualRevision));
        } else {
          expect(value.revision).toBe(expected + events.length);
          stored.set(stream, [...(stored.get(stream) ?? []), { revision: value.revision, events }]);
          ends.set(stream, Math.max(ends.get(stream) ?? noStream, value.revision));
        }
        // What is held arrives late, or its answer does.
        rule?.release();
      };

      await Promise.all(
        stores.map(async (store, index) => {
          const underWay: Promise<void>[] = [];
          for (const command of commands.filter(({ store }) => store === index)) {
            const performed = perform(store, command);
            underWay.push(performed);
            if (command.inTurn) await performed;
          }
          await Promise.all(underWay);
        }),
      );
      server.faults.clear();
      // Whatever was late has arrived when this has: appends of one connection are taken in turn.
      for (const store of stores) await insist(() => store.append(newStream(), noStream, newEvents(1)));

      let count = stores.length;
      for (const name of names) {
        const inOrder = (stored.get(name) ?? []).toSorted((a, b) => a.revision - b.revision);
        const ids = idsOf(inOrder.flatMap(({ events }) => events));
        expect(idsIn(server, `test.${name}`)).toEqual(ids);
        count += ids.length;
      }
      const all = idsIn(server);
      expect(all.length - before).toBe(count);
      expect(idsOf(conflicting).filter((id) => all.includes(id))).toEqual([]);
    };

    await fc.assert(fc.asyncProperty(plan, run), { numRuns: 25 });
    // It was about something.
    expect(outcomes.appended).toBeGreaterThan(20);
    expect(outcomes.conflict).toBeGreaterThan(0);
  });
});

/** A way to the server whose connections can die without anybody being told. */
class Network {
  readonly #server: Server;
  readonly #sockets = new Set<readonly [Socket, Socket]>();

  private constructor(target: number) {
    this.#server = createServer((outer) => {
      const inner = connect({ host: '127.0.0.1', port: target });
      outer.pipe(inner).pipe(outer);
      this.#sockets.add([outer, inner]);
      for (const socket of [outer, inner]) socket.on('error', () => undefined);
    });
  }

  static async before(server: EventStoreDb): Promise<Network> {
    const network = new Network(server.leader.port);
    network.#server.listen(0, '127.0.0.1');
    await once(network.#server, 'listening');
    onTestFinished(() => {
      network.#server.close();
      for (const sockets of network.#sockets) for (const socket of sockets) socket.destroy();
    });
    return network;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** The connections there are; new ones work. */
  swallow(): void {
    for (const [outer, inner] of this.#sockets) {
      outer.unpipe(inner);
      inner.unpipe(outer);
    }
  }
}

describe('a server that is not there, or silent', () => {
  test('makes opening, appending and reading end with EventStoreUnavailable, and is used again when it is back', async () => {
    const server = await start();
    const store = await open(server);
    const event = newEvent();
    server.leader.freeze();
    const asked = [
      store.append('s', noStream, [event]),
      store.head(),
      toArray(store.readStream('s')),
      openEventStoreDb(optionsFor(server)),
    ];
    for (const error of await Promise.all(asked.map(rejection)))
      expect(error).toBeInstanceOf(EventStoreUnavailable);
    server.leader.thaw();
    expect((await insist(() => store.append('s', noStream, [event]))).value).toMatchObject({ revision: 0 });

    await server.leader.stop();
    expect(await rejection(store.append('s', 0, newEvents(1)))).toBeInstanceOf(EventStoreUnavailable);
    expect(await rejection(store.head())).toBeInstanceOf(EventStoreUnavailable);
    expect(await rejection(openEventStoreDb(optionsFor(server)))).toBeInstanceOf(EventStoreUnavailable);
    await server.leader.start();
    expect((await insist(() => store.append('s', 0, newEvents(1)))).value).toMatchObject({ revision: 1 });
  });

  test('reached by a connection that has died without a word is reached by another', async () => {
    const server = await start();
    const network = await Network.before(server);
    const store = await open(server, {
      connectionString: `esdb://127.0.0.1:${network.port}?tls=false&defaultDeadline=${deadline}&keepAliveInterval=600000`,
    });
    const seen = follow(store, await store.head(), (events) => events.length === 3);
    await append(store, 's', noStream, newEvents(1));
    network.swallow();
    expect((await insist(() => store.append('s', 0, newEvents(2)))).value).toMatchObject({ revision: 2 });
    expect(await seen).toEqual(await toArray(store.readStream('s')));
  });

  test('that hangs every time is given up every time, and the client for it replaced', async () => {
    const server = await start();
    const store = await open(server);
    const rule = server.faults.always({ on: ['batchAppend', 'read'], fault: { kind: 'hang' } });
    for (let n = 0; n < 4; n++) {
      const asked = [store.append('s', noStream, newEvents(1)), store.head(), store.head()];
      for (const error of await Promise.all(asked.map(rejection)))
        expect(error).toBeInstanceOf(EventStoreUnavailable);
    }
    rule.release();
    expect((await insist(() => store.append('s', noStream, newEvents(1)))).value).toMatchObject({
      revision: 0,
    });
    await until(() => expect(server.calls.open('read')).toBe(0));
    expect(server.calls.open('batchAppend')).toBe(1);
  });

  test('a stream read over a cut, ended or refused call fails as a whole and never passes off a part', async () => {
    const server = await start();
    const store = await open(server);
    const stored = await append(store, 's', noStream, newEvents(600));
    const faults: Fault[] = [
      { kind: 'drop' },
      { kind: 'hang' },
      refuse(refusals.unavailable()),
      refuse(refusals.notReady()),
    ];
    for (const fault of faults) {
      for (const afterEvents of [0, 1, 124]) {
        server.faults.next({ on: 'read', fault, afterEvents });
        expect(await rejection(toArray(store.readStream('s')))).toBeInstanceOf(EventStoreUnavailable);
      }
    }
    expect((await insist(() => toArray(store.readStream('s')))).value).toEqual(stored);
  });
});

describe('large appends', () => {
  test('of JSON go compressed, and come back to the character, read or followed', async () => {
    const server = await start();
    const store = await open(server);
    const after = await store.head();
    const data = JSON.stringify({
      note: 'Ünïcödé ✓ '.repeat(20),
      lines: Array.from({ length: 90_000 }, (_, n) => n * 7),
    });
    const small = '{"a":  1.0, "n":12345678901234567890}';
    const events = [newEvent({ data: small }), newEvent({ data: data.repeat(3) }), newEvent({ data })];
    expect(Buffer.byteLength(events.map((event) => event.data).join(''))).toBeGreaterThan(2_000_000);
    const stored = await append(store, 's', noStream, events);
    expect(stored.map((event) => event.data)).toEqual(events.map((event) => event.data));
    const followed = await follow(store, after, (seen) => seen.length === 3);
    expect(followed).toEqual(stored);
    // What is small stays legible for everybody.
    expect(server.log.events('test.s').map((event) => event.data === small)).toEqual([true, false, false]);
  });

  test('that stay too large are refused before anything is sent', async () => {
    const server = await start();
    const store = await open(server);
    const before = server.calls.appendsReceived;
    const noise = (bytes: number): NewEvent =>
      newEvent({ data: JSON.stringify(randomBytes(bytes).toString('base64')) });
    for (const events of [
      [noise(1_500_000)],
      Array.from({ length: 20 }, () => noise(60_000)),
      [newEvent({ data: `"${'x'.repeat(17 * 1024 * 1024)}"` })],
    ]) {
      expect(await rejection(store.append('s', noStream, events))).toBeInstanceOf(AppendTooLarge);
    }
    expect(server.calls.appendsReceived).toBe(before);
    expect(await store.append('s', noStream, [noise(600_000)])).toMatchObject({ kind: 'appended' });
  });

  test('beyond what a server is configured to take are refused by it, and the call goes on', async () => {
    const server = await start({ maxAppendSize: 2_000 });
    const store = await open(server);
    const before = server.calls.started('batchAppend');
    const error = await rejection(store.append('s', noStream, newEvents(60)));
    expect(error).toBeInstanceOf(AppendTooLarge);
    expect(error).toMatchObject({ message: expect.stringContaining('2000') });
    expect(await store.append('s', noStream, newEvents(2))).toMatchObject({ kind: 'appended' });
    expect(server.calls.started('batchAppend')).toBe(before);
  });
});

describe('opening', () => {
  test('a fresh namespace by several at once gives all the same id, also over faults', async () => {
    const server = await start();
    const faults: (Fault | undefined)[] = [
      undefined,
      { kind: 'drop' },
      { kind: 'hang' },
      { kind: 'end' },
      refuse(refusals.timeout()),
    ];
    for (const fault of faults) {
      for (const at of ['request', 'answer'] as const) {
        const namespace = `fresh_${randomUUID().replaceAll('-', '')}`;
        if (fault) server.faults.next({ on: 'batchAppend', fault, at, stream: namespace });
        const stores = await Promise.all(
          [1, 2, 3].map(async () => (await insist(() => open(server, { namespace }))).value),
        );
        expect(new Set(stores.map(({ id }) => id)).size).toBe(1);
        expect(server.log.events(namespace)).toHaveLength(1);
        expect((await open(server, { namespace })).id).toBe(stores[0]?.id);
      }
    }
  });

  test('different namespaces of a server gives different logs', async () => {
    const server = await start();
    const [a, b] = [await open(server, { namespace: 'a' }), await open(server, { namespace: 'b' })];
    expect(a.id).not.toBe(b.id);
    await append(a, 's', noStream, newEvents(1));
    expect(await toArray(b.readStream('s'))).toEqual([]);
  });

  test.each(['', 'a-b', '$a', 'a b', '.a', 'a'.repeat(101)])(
    'the namespace "%s" is refused',
    async (namespace) => {
      const server = await start();
      expect(await rejection(open(server, { namespace }))).toBeInstanceOf(RangeError);
    },
  );

  test('a stream of that name that is something else is refused', async () => {
    const server = await start();
    const record = jsonEvent({ type: 'tallyback.LogOpened', data: { no: 'id' } });
    await connectBare(server).appendToStream('test', [record]);
    expect(await rejection(open(server))).toMatchObject({
      message: expect.stringContaining('is not a record of Tallyback'),
    });
  });
});

describe('a copy', () => {
  const openCopy = async (server: EventStoreDb, from: string, namespace = 'test'): Promise<CopyTarget> => {
    const store = await openEventStoreDbCopy(optionsFor(server, { namespace }), from);
    onTestFinished(() => store.close());
    return store;
  };

  test('is not called complete when its record is not as the copy left it', async () => {
    const server = await start();
    const copy = await openCopy(server, randomUUID());
    await connectBare(server).appendToStream('test', [jsonEvent({ type: 'other', data: {} })]);
    expect(await rejection(copy.completeCopy())).toMatchObject({
      message: expect.stringContaining('not as the copy left it'),
    });
  });

  test('begins in an empty log, goes on in an unfinished one of the same origin, and ends once', async () => {
    const server = await start();
    const copy = await openCopy(server, 'A');
    expect(copy.origin).toEqual({ storeId: 'A', complete: false });
    await append(copy, 's', noStream, newEvents(1));
    const again = await openCopy(server, 'A');
    expect(again.id).toBe(copy.id);
    const wrong = await rejection(openCopy(server, 'B'));
    expect(wrong).toBeInstanceOf(CopyRefused);
    expect(wrong).toMatchObject({ message: expect.stringContaining('an unfinished copy of the store A') });

    await again.completeCopy();
    await copy.completeCopy();
    expect((await open(server)).origin).toEqual({ storeId: 'A', complete: true });
    for (const from of ['A', 'B']) {
      expect(await rejection(openCopy(server, from))).toMatchObject({
        name: 'CopyRefused',
        message: expect.stringContaining('a finished copy of the store A'),
      });
    }
  });

  test('does not go into a log that is in use', async () => {
    const server = await start();
    expect((await open(server)).origin).toBeUndefined();
    expect(await rejection(openCopy(server, 'A'))).toMatchObject({
      name: 'CopyRefused',
      message: 'the log has been used already',
    });
    expect((await open(server)).origin).toBeUndefined();
  });

  test('and an ordinary log that are begun at once: one of them wins', async () => {
    for (let n = 0; n < 10; n++) {
      const server = await start();
      const [copy, store] = await Promise.allSettled([openCopy(server, 'A'), open(server)]);
      if (store.status === 'rejected') throw store.reason;
      expect(store.value.origin === undefined).toBe(copy.status === 'rejected');
      if (copy.status === 'rejected') expect(copy.reason).toBeInstanceOf(CopyRefused);
    }
  });

  test('is complete when it was said so over a lost answer, and said so again', async () => {
    const server = await start();
    const copy = await openCopy(server, 'A');
    server.faults.next({ on: 'batchAppend', fault: { kind: 'drop' }, at: 'answer' });
    expect(await rejection(copy.completeCopy())).toBeInstanceOf(EventStoreUnavailable);
    await insist(() => copy.completeCopy());
    expect(server.log.events('test')).toHaveLength(2);
    expect((await open(server)).origin).toEqual({ storeId: 'A', complete: true });
  });

  test('a refused one leaves no call open', async () => {
    const server = await start();
    await (await open(server)).close();
    await rejection(openCopy(server, 'A'));
    await until(() => {
      for (const kind of ['batchAppend', 'read', 'subscribe'] as const)
        expect(server.calls.open(kind)).toBe(0);
    });
  });
});
