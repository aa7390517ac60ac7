/** Several nodes over one log, and who is let in. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NO_STREAM, START } from '@eventstore/db-client';
import { expect, onTestFinished, test } from 'vitest';
import { selfSignedCertificate } from './certificate.ts';
import { refusals } from './index.ts';
import { connect, event, events, name, names, rejection, start, unary } from './testing.ts';

test('a client finds the leader, or a follower, by gossip', async () => {
  const server = await start({ nodes: 3 });
  await connect(server, '&nodePreference=leader').appendToStream('order-1', event());
  expect(server.calls.started('gossip')).toBeGreaterThan(0);
  expect(server.calls.of(server.leader.index).map(({ kind }) => kind)).toEqual(['batchAppend']);
  // A follower passes appends on.
  await connect(server, '&nodePreference=follower').appendToStream('order-1', event());
  expect(server.log.events()).toHaveLength(2);
  expect(server.calls.of(server.leader.index)).toHaveLength(1);
  expect(server.calls.open('batchAppend')).toBe(2);
});

test('discovery goes on past nodes that are down, or do not answer', async () => {
  const server = await start({ nodes: 3 });
  await server.nodes[1]?.stop();
  server.faults.always({ on: 'gossip', node: 2, fault: { kind: 'refuse', refusal: refusals.notReady() } });
  const client = connect(server, '&nodePreference=leader&maxDiscoverAttempts=100&discoveryInterval=1');
  await client.appendToStream('order-1', event());
  expect(server.log.events()).toHaveLength(1);
});

test.each([
  ['a batch append', {}],
  ['a unary append', unary],
])('%s that requires the leader is told where it is, and the next one goes there', async (_, by) => {
  const server = await start({ nodes: 2 });
  const client = connect(server, '&nodePreference=follower');
  const options = { ...by, requiresLeader: true, expectedRevision: NO_STREAM } as const;
  const error = await rejection(client.appendToStream('order-1', event(), options));
  expect(error).toMatchObject({
    type: 'not-leader',
    leader: { address: '127.0.0.1', port: server.leader.port },
  });
  expect(server.log.events()).toHaveLength(0);
  await client.appendToStream('order-1', event(), options);
  expect(server.log.events()).toHaveLength(1);
});

test('a read that requires the leader is refused by a follower', async () => {
  const server = await start({ nodes: 2 });
  const client = connect(server, '&nodePreference=follower');
  await client.appendToStream('order-1', event());
  expect(await names(client.readStream('order-1'))).toEqual(['order-1@0']);
  const read = names(client.readStream('order-1', { requiresLeader: true }));
  expect(await rejection(read)).toMatchObject({ type: 'not-leader' });
});

test('after a change of leader, open streams of appends end, and subscriptions go on', async () => {
  const server = await start({ nodes: 2 });
  const client = connect(server, '&nodePreference=leader');
  const options = { requiresLeader: true } as const;
  await client.appendToStream('order-1', event(), options);
  const told: string[] = [];
  const subscription = connect(server, '&nodePreference=leader').subscribeToStream('order-1', {
    fromRevision: START,
  });
  subscription.on('data', (resolved) => told.push(name(resolved)));
  await expect.poll(() => told).toEqual(['order-1@0']);

  const old = server.leader;
  server.changeLeader();
  expect(server.leader).not.toBe(old);
  expect(await rejection(client.appendToStream('order-1', event(), options))).toMatchObject({
    type: 'not-leader',
  });
  await client.appendToStream('order-1', event(), options);
  await expect.poll(() => told).toEqual(['order-1@0', 'order-1@1']);

  const dropped = rejection(new Promise((_, reject) => subscription.on('error', reject)));
  server.changeLeader({ to: old.index });
  server.changeLeader({ subscriptions: 'drop' });
  expect(await dropped).toMatchObject({ type: 'unavailable' });
});

test('an append in flight as the leader changes has an unknown outcome', async () => {
  const server = await start({ nodes: 2 });
  const client = connect(server, '&nodePreference=leader');
  const rule = server.faults.next({ on: 'batchAppend', at: 'answer', fault: { kind: 'hold' } });
  const outcome = rejection(client.appendToStream('order-1', event()));
  await rule.struck();
  server.changeLeader();
  rule.release();
  expect(await outcome).toMatchObject({ type: 'deadline-exceeded' });
  expect(server.log.events()).toHaveLength(1);
});

test('a node comes back on its port, with the log', async () => {
  const server = await start();
  const [node] = server.nodes;
  const client = connect(server);
  await client.appendToStream('order-1', event());
  const port = node?.port;
  await node?.stop();
  expect(await rejection(client.appendToStream('order-1', event()))).toMatchObject({ code: 14 });
  expect(await rejection(client.appendToStream('order-1', event()))).toMatchObject({ code: 14 });
  await node?.restart();
  expect(node?.port).toBe(port);
  const other = connect(server);
  await other.appendToStream('order-1', event(), { expectedRevision: 0n });
  expect(await names(other.readStream('order-1'))).toEqual(['order-1@0', 'order-1@1']);
});

test('a node that shuts down says so to its subscriptions', async () => {
  const server = await start();
  const subscription = connect(server).subscribeToAll();
  await new Promise((resolve) => subscription.on('caughtUp', resolve));
  const ended = rejection(new Promise((_, reject) => subscription.on('error', reject)));
  await server.nodes[0]?.shutDown();
  expect(await ended).toMatchObject({ type: 'cancelled' });
});

test('a frozen node takes nothing and answers nothing, and goes on when thawed', async () => {
  const server = await start();
  const [node] = server.nodes;
  const client = connect(server);
  await client.appendToStream('order-1', event());
  node?.freeze();
  const appended = client.appendToStream('order-1', event());
  const other = connect(server);
  const read = names(other.readStream('order-1'));
  // What the client sends now would have arrived before this.
  await connect(await start()).appendToStream('order-1', event());
  expect(server.log.events()).toHaveLength(1);
  node?.thaw();
  expect(await appended).toMatchObject({ nextExpectedRevision: 1n });
  expect((await read).length).toBeGreaterThan(0);
});

test('over TLS, with credentials', async () => {
  const tls = selfSignedCertificate();
  const directory = await mkdtemp(join(tmpdir(), 'fixture-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  const file = join(directory, 'ca.pem');
  await writeFile(file, tls.cert);
  const server = await start({ tls, credentials: { username: 'ann', password: 'se:cret' } });
  const { port } = server.leader;
  const at = (user: string) => ({
    connectionString: `esdb://${user}localhost:${port}?tls=true&tlsCAFile=${file}`,
  });

  const ann = connect(at('ann:se%3Acret@'));
  await ann.appendToStream('order-1', events(2));
  await ann.appendToStream('order-1', event(), { credentials: { username: 'ann', password: 'se:cret' } });
  expect(await names(ann.readStream('order-1'))).toHaveLength(3);

  const nobody = connect(at(''));
  const wrong = { credentials: { username: 'ann', password: 'guess' } } as const;
  for (const options of [{}, wrong]) {
    expect(await rejection(nobody.appendToStream('order-1', event(), options))).toMatchObject({
      type: 'access-denied',
    });
    expect(await rejection(names(nobody.readStream('order-1', options)))).toMatchObject({
      type: 'access-denied',
    });
  }
  expect(server.log.events()).toHaveLength(3);
});
