/** A cluster of EventStoreDB nodes: its leader is found, followed when it changes, and replaced when it dies. */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type EventStore, noStream } from '../../src/eventstore/port.ts';
import { type EventStoreDb, refusals } from '../support/eventstoredb/index.ts';
import { start } from '../support/eventstoredb/testing.ts';
import { expectNoStrayErrors, insist, open, until } from './eventstoredb-stores.ts';
import { append, follow, idsOf, newEvents, newStream, rejection } from './samples.ts';

expectNoStrayErrors();

const appendsAt = ({ calls }: EventStoreDb): number[] =>
  [0, 1, 2].filter((node) => calls.of(node).some(({ kind }) => kind === 'batchAppend'));

const tell = async (store: EventStore): Promise<number> =>
  (await insist(() => store.append(newStream(), noStream, newEvents(1)))).unknown;

test.each([0, 1, 2])('the leader is found by gossip: node %i', async (to) => {
  const server = await start({ nodes: 3 });
  if (to > 0) server.changeLeader({ to });
  const store = await open(server);
  expect(await tell(store)).toBe(0);
  expect(appendsAt(server)).toEqual([to]);
});

test('it is found through one name too, and though another node is preferred', async () => {
  const server = await start({ nodes: 3 });
  server.changeLeader({ to: 2 });
  const first = server.nodes[0]?.port ?? 0;
  const byName = await open(server, {
    connectionString: `esdb+discover://127.0.0.1:${first}?tls=false&defaultDeadline=300`,
  });
  expect(await tell(byName)).toBe(0);
  expect(appendsAt(server)).toEqual([2]);

  const follower = `esdb://127.0.0.1:${first}?tls=false&defaultDeadline=300`;
  for (const changes of [{ parameters: '&nodePreference=follower' }, { connectionString: follower }]) {
    expect(await tell(await open(server, changes))).toBe(0);
    expect(appendsAt(server)).toEqual([2]);
  }
});

test('a leader that is one no more names the next, which is gone to', async () => {
  const server = await start({ nodes: 3 });
  const store = await open(server);
  await tell(store);
  for (const to of [2, 1, 0]) {
    server.changeLeader({ to });
    expect(await tell(store)).toBeGreaterThan(0);
    expect(await tell(store)).toBe(0);
    expect(appendsAt(server)).toContain(to);
  }
});

test('gossip that fails, hangs, or knows no leader at first is asked again', async () => {
  const server = await start({ nodes: 3 });
  const refused = server.faults.next(
    { on: 'gossip', fault: { kind: 'refuse', refusal: refusals.unavailable() } },
    4,
  );
  const store = (await insist(() => open(server))).value;
  expect(refused.hits).toBe(4);

  const hanging = server.faults.next({ on: 'gossip', fault: { kind: 'hang' } }, 2);
  await server.leader.stop();
  const failed = rejection(store.append(newStream(), noStream, newEvents(1)));
  server.changeLeader();
  await failed;
  await tell(store);
  expect(hanging.hits).toBeGreaterThan(0);
});

test('what the client package would ask first, and remember if it failed, is never asked', async () => {
  const server = await start({ nodes: 3 });
  server.faults.always({ on: 'features', fault: { kind: 'refuse', refusal: refusals.unknown() } });
  const store = await open(server);
  expect(await tell(store)).toBe(0);
  expect(server.calls.started('features')).toBe(0);
});

test('nodes that fail one after the other under load lose nothing and double nothing', async () => {
  const server = await start({ nodes: 3 });
  const stores = [await open(server), await open(server)];
  const after = await (await open(server)).head();
  const acknowledged: {
    readonly stream: string;
    readonly revision: number;
    readonly ids: readonly string[];
  }[] = [];
  const over = new AbortController();
  const writers = stores.flatMap((store) =>
    Array.from({ length: 4 }, async () => {
      const stream = newStream();
      for (let revision = noStream; !over.signal.aborted;) {
        const events = newEvents(2);
        const { value } = await insist(() => store.append(stream, revision, events));
        if (value.kind !== 'appended') throw new Error(`${value.kind} of a writer's own stream`);
        ({ revision } = value);
        acknowledged.push({ stream: `test.${stream}`, revision, ids: idsOf(events) });
      }
    }),
  );
  const reader = await open(server);
  let total = Infinity;
  const seen = follow(reader, after, (events) => events.length >= total);

  const progress = async (): Promise<void> => {
    const before = acknowledged.length;
    await until(() => expect(acknowledged.length).toBeGreaterThan(before + 40));
  };
  await progress();
  for (const how of ['stop', 'shutDown', 'freeze', 'drop'] as const) {
    const old = server.leader;
    if (how === 'stop') await old.stop();
    else if (how === 'shutDown') await old.shutDown();
    else if (how === 'freeze') old.freeze();
    else old.dropConnections();
    await delay(10);
    server.changeLeader({ subscriptions: how === 'drop' ? 'drop' : 'survive' });
    await progress();
    if (how === 'freeze') old.thaw();
    else if (!old.isRunning) await old.start();
  }
  over.abort();
  await Promise.all(writers);
  const logged = server.log
    .events()
    .filter(({ stream }) => acknowledged.some((one) => one.stream === stream));
  total = logged.length;
  // Its node may be none that leads by now.
  const last = newEvents(1);
  await insist(() => append(reader, 'last', noStream, last));

  expect(total).toBe(acknowledged.length * 2);
  for (const { stream, revision, ids } of acknowledged) {
    const there = logged.filter((event) => event.stream === stream);
    expect(there.slice(revision - 1, revision + 1).map(({ id }) => id)).toEqual(ids);
  }
  expect(idsOf(await seen).slice(0, total)).toEqual(logged.map(({ id }) => id));
});
