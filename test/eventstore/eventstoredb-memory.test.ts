/** What a subscriber that stops reading costs: nothing that grows with the log. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { openEventStoreDb } from '../../src/eventstore/eventstoredb/index.ts';
import { type LogBatch, noStream, type Position } from '../../src/eventstore/port.ts';
import { start } from '../support/eventstoredb/testing.ts';
import { expectNoStrayErrors, insist, open, optionsFor, until } from './eventstoredb-stores.ts';
import { newEvent } from './samples.ts';

expectNoStrayErrors();

setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('gc');
const heapUsed = (): number => {
  if (typeof collect === 'function') for (let n = 0; n < 3; n++) collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

test('while 100 MB of events pass a subscriber that has stopped, the store holds its ring and a few pages', async () => {
  const server = await start();
  const writer = await open(server);
  const store = await openEventStoreDb(optionsFor(server, { tail: { events: 1_000, watchEvery: 1_000 } }));
  const abort = new AbortController();
  const subscribe = (after: Position): AsyncIterable<LogBatch> =>
    store.subscribe({ after, signal: abort.signal });
  const begin = await store.head();
  const stopped = subscribe(begin)[Symbol.asyncIterator]();
  expect(await stopped.next()).toMatchObject({ value: { events: [], caughtUp: true } });
  let seen = 0;
  const keepingUp = (async () => {
    for await (const { events } of subscribe(begin)) seen += events.length;
  })();

  let last = noStream;
  const write = async (count: number): Promise<void> => {
    const data = JSON.stringify('x'.repeat(2_000));
    const events = Array.from({ length: count }, () => newEvent({ data }));
    const { value } = await insist(() => writer.append('s', last, events));
    if (value.kind !== 'appended') throw new Error(value.kind);
    last = value.revision;
  };
  await write(1);
  expect(await stopped.next()).toMatchObject({ value: { events: [{ revision: 0 }] } });
  for (let n = 0; n < 125; n++) await write(400);
  await until(() => expect(seen).toBe(50_001));
  // The end having been reached, this one comes by the ring, which all others have gone through then.
  await write(1);
  await until(() => expect(seen).toBe(50_002));

  // The server has them in memory too: what counts is what goes with the store.
  const reads = server.calls.started('read');
  const held = heapUsed();
  expect(await stopped.next()).toMatchObject({ done: false });
  expect(server.calls.started('read')).toBeGreaterThan(reads);
  abort.abort();
  await stopped.return?.();
  await keepingUp;
  await store.close();
  await until(() => expect(server.calls.open('subscribe')).toBe(0));
  expect((held - heapUsed()) / 1024 / 1024).toBeLessThan(40);
});
