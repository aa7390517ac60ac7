/** Over TLS: whom the store believes, how it says who it is, and that its password gets out nowhere. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { describeConnectionString, openEventStoreDb } from '../../src/eventstore/eventstoredb/index.ts';
import { type EventStore, EventStoreUnavailable, noStream } from '../../src/eventstore/port.ts';
import { type EventStoreDb, refusals } from '../support/eventstoredb/index.ts';
import { start } from '../support/eventstoredb/testing.ts';
import { type Changes, expectNoStrayErrors, insist, open, optionsFor, until } from './eventstoredb-stores.ts';
import { append, follow, newEvents, rejection } from './samples.ts';

const tool = 'openssl';
const hasOpenssl = spawnSync(tool, ['version']).status === 0;
if (!hasOpenssl)
  console.log('TLS to EventStoreDB is not tested: there is no openssl to make certificates with');

expectNoStrayErrors();

describe.runIf(hasOpenssl)('over TLS', () => {
  const username = 'writer@shop';
  const password = 'Zq9/Zq9?&:@%41';
  let folder = '';
  const at = (file: string): string => join(folder, file);

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'tallyback-tls-'));
    const openssl = (...args: string[]): void => void execFileSync(tool, args, { stdio: 'ignore' });
    const newKey = ['-newkey', 'rsa:2048', '-nodes', '-keyout'];
    for (const name of ['ca', 'other']) {
      openssl(
        'req',
        '-x509',
        ...newKey,
        at(`${name}.key`),
        '-out',
        at(`${name}.pem`),
        '-subj',
        `/CN=${name}`,
        '-days',
        '2',
      );
    }
    openssl('req', ...newKey, at('node.key'), '-out', at('node.csr'), '-subj', '/CN=node');
    writeFileSync(at('node.ext'), 'subjectAltName=IP:127.0.0.1');
    openssl(
      'x509',
      '-req',
      '-in',
      at('node.csr'),
      '-CA',
      at('ca.pem'),
      '-CAkey',
      at('ca.key'),
      '-CAcreateserial',
      '-out',
      at('node.pem'),
      '-days',
      '2',
      '-extfile',
      at('node.ext'),
    );
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const startSecure = (): Promise<EventStoreDb> =>
    start({
      tls: { cert: readFileSync(at('node.pem')), key: readFileSync(at('node.key')) },
      credentials: { username, password },
    });

  /** What a person would write into the configuration. */
  const asUser = (server: EventStoreDb, user: string, ca = 'ca.pem'): Changes => ({
    connectionString: `${server.connectionString.replace('://', `://${user}@`)}&defaultDeadline=300&tlsCAFile=${encodeURIComponent(at(ca))}`,
  });
  const encoded = `${encodeURIComponent(username)}:${encodeURIComponent(password)}`;

  const works = async (store: EventStore): Promise<void> => {
    const after = await store.head();
    const seen = follow(store, after, (events) => events.length === 2);
    expect(await append(store, 's', noStream, newEvents(2))).toEqual(await seen);
  };

  test('a server with a certificate of our authority, and the right password: it works', async () => {
    const server = await startSecure();
    await works(await open(server, asUser(server, encoded)));
  });

  test('the password may be given apart', async () => {
    const server = await startSecure();
    await works(await open(server, { ...asUser(server, encodeURIComponent(username)), password }));
  });

  test('after the server has been away it is believed again', async () => {
    const server = await startSecure();
    const store = await open(server, asUser(server, encoded));
    await server.leader.restart();
    expect((await insist(() => store.append('s', noStream, newEvents(1)))).value.kind).toBe('appended');
  });

  test('a server of another authority is not talked to', async () => {
    const server = await startSecure();
    for (const changes of [
      asUser(server, encoded, 'other.pem'),
      { connectionString: server.connectionString.replace('://', `://${encoded}@`) },
    ]) {
      expect(await rejection(open(server, changes))).toBeInstanceOf(EventStoreUnavailable);
    }
    expect(server.calls.started('read')).toBe(0);
  });

  test.each(['wrong:Zq9', `${encodeURIComponent(username)}:wrong`, ''])(
    'as "%s" nothing is to be had',
    async (user) => {
      const server = await startSecure();
      const { connectionString = '' } = asUser(server, user);
      const changes = { connectionString: connectionString.replace('://@', '://') };
      expect(await rejection(open(server, changes))).toBeInstanceOf(EventStoreUnavailable);
      expect(server.log.events()).toEqual([]);
    },
  );

  test('a file of certificates that is not there is named', async () => {
    const server = await startSecure();
    const error = await rejection(open(server, asUser(server, encoded, 'none.pem')));
    expect(error).toMatchObject({ code: 'ENOENT', message: expect.stringContaining('none.pem') });
  });

  test('no error, log line or output tells the password, whatever goes wrong', async () => {
    const told: unknown[] = [];
    const spies = (['log', 'warn', 'error', 'info', 'debug'] as const).map((method) =>
      vi.spyOn(console, method).mockImplementation((...args: unknown[]) => void told.push(args)),
    );
    try {
      const server = await startSecure();
      const log: NonNullable<Changes['log']> = (...line) => void told.push(line);
      const right = { ...asUser(server, encoded), log };
      const fails = async (changes: Changes): Promise<void> => {
        told.push(await rejection(openEventStoreDb(optionsFor(server, { ...changes, log }))));
      };
      await fails(asUser(server, encoded, 'other.pem'));
      await fails(asUser(server, encoded, 'none.pem'));
      await fails(asUser(server, `wrong:${encodeURIComponent(password)}`));
      await fails({ ...asUser(server, 'wrong'), password });
      await fails({ ...right, namespace: 'not-one' });
      await fails({ connectionString: `${right.connectionString}&tls=maybe&what=else` });
      await fails({ connectionString: `${right.connectionString}&keepAliveInterval=1000&defaultDeadline=0` });
      await fails({ connectionString: `esdb://${username}:${password}@127.0.0.1` });
      told.push(describeConnectionString(right.connectionString ?? ''));

      const store = await open(server, {
        ...right,
        connectionString: `${right.connectionString}&keepAliveInterval=2000`,
      });
      told.push(store, { ...store });
      const abort = new AbortController();
      const subscribed = (async () => {
        for await (const batch of store.subscribe({ after: await store.head(), signal: abort.signal }))
          told.push(batch);
      })();
      await until(() => expect(server.calls.open('subscribe')).toBe(1));
      for (const refusal of [
        refusals.accessDenied(),
        refusals.unauthenticated(),
        refusals.unknown(),
        refusals.badRequest('x'),
      ]) {
        server.faults.next(
          { on: ['batchAppend', 'read', 'subscribe'], fault: { kind: 'refuse', refusal } },
          2,
        );
        server.calls.end('subscribe');
        told.push(
          await rejection(store.append('s', noStream, newEvents(1))),
          await store.head().catch((error: unknown) => error),
        );
      }
      await server.leader.stop();
      told.push(await rejection(store.append('s', noStream, newEvents(1))), await rejection(store.head()));
      await server.leader.start();
      await insist(() => store.append('s', noStream, newEvents(1)));
      abort.abort();
      await subscribed;
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
    const everything = inspect(told, {
      depth: 12,
      showHidden: true,
      maxStringLength: null,
      maxArrayLength: null,
    });
    expect(told.length).toBeGreaterThan(20);
    expect(everything).toContain('UNAVAILABLE');
    for (const secret of [
      password,
      encodeURIComponent(password),
      'Zq9',
      Buffer.from(`${username}:${password}`).toString('base64'),
    ]) {
      expect(everything.includes(secret), `it tells ${secret}`).toBe(false);
    }
  });
});
