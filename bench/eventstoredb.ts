/**
 * The EventStoreDB adapter against the bare client, on the protocol fixture (or the server that
 * TALLYBACK_TEST_ESDB_URL names): what our own calls cost or save.
 */
import { randomUUID } from 'node:crypto';
import { EventStoreDBClient, jsonEvent, START, streamNameFilter } from '@eventstore/db-client';
import { type EventStore, logStart, noStream } from '../src/eventstore/port.ts';
import { openEventStoreDb } from '../src/eventstore/eventstoredb/index.ts';
import { closedLoop, latencies, median, openLoop } from './measure.ts';
import { eventStoreDb } from './processes.ts';
import type { Result } from './result.ts';

const inFlight = 256;
const data = { member: 'ann', amountMinor: '100', at: '2026-01-01T00:00:00Z', note: 'x'.repeat(150) };
const metadata = { requestId: randomUUID(), $correlationId: randomUUID() };

const event = (): { id: string; type: string; data: string; metadata: string } => ({
  id: randomUUID(),
  type: 'bench.v1',
  data: JSON.stringify(data),
  metadata: JSON.stringify(metadata),
});

const bareEvent = () => jsonEvent({ id: randomUUID(), type: 'bench.v1', data, metadata });

interface Subject {
  readonly namespace: string;
  readonly store: EventStore;
  readonly bare: EventStoreDBClient;
}

async function appends({ namespace, store, bare }: Subject, seconds: number): Promise<Result> {
  const pairs: [number, number][] = [];
  for (let round = 0; round < 3; round++) {
    const run = randomUUID();
    const own = await closedLoop(seconds, inFlight, (n) => store.append(`${run}-a${n}`, noStream, [event()]));
    const peer = await closedLoop(seconds, inFlight, (n) =>
      bare.appendToStream(`${namespace}.${run}-b${n}`, [bareEvent()], { expectedRevision: 'no_stream' }),
    );
    pairs.push([own.perSecond, peer.perSecond]);
  }
  return {
    name: `EventStoreDB: appends of one event, ${inFlight} in flight`,
    value: median(pairs.map(([a]) => a)),
    unit: 'events/s',
    peer: { name: 'the bare client', value: median(pairs.map(([, b]) => b)), unit: 'events/s' },
  };
}

async function fill(store: EventStore, events: number): Promise<void> {
  const each = 50;
  for (let at = 0; at < events; at += each * 20) {
    await Promise.all(
      Array.from({ length: 20 }, () =>
        store.append(`fill-${randomUUID()}`, noStream, Array.from({ length: each }, event)),
      ),
    );
  }
}

async function readAllOwn(store: EventStore, signal = new AbortController().signal): Promise<number> {
  let events = 0;
  for await (const batch of store.subscribe({ after: logStart, signal, maxBatch: 5_000 })) {
    events += batch.events.length;
    if (batch.caughtUp) break;
  }
  return events;
}

async function readAllBare({ bare, namespace }: Subject, total: number): Promise<void> {
  const filter = streamNameFilter({ prefixes: [`${namespace}.`] });
  const subscription = bare.subscribeToAll({ fromPosition: START, filter });
  let events = 0;
  for await (const _ of subscription) if (++events >= total) break;
  await subscription.unsubscribe();
}

const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1_000;
};

async function catchUp(subject: Subject): Promise<Result[]> {
  const pairs: [number, number, number][] = [];
  const readers = 9;
  for (let round = 0; round < 3; round++) {
    let total = 0;
    const own = await timed(async () => (total = await readAllOwn(subject.store)));
    const peer = await timed(() => readAllBare(subject, total));
    const together = await timed(() =>
      Promise.all(Array.from({ length: readers }, () => readAllOwn(subject.store))),
    );
    pairs.push([total / own, total / peer, (readers * total) / together]);
  }
  const peer = { name: 'the bare client', value: median(pairs.map(([, b]) => b)), unit: 'events/s' };
  return [
    {
      name: 'EventStoreDB: a subscription catching up',
      value: median(pairs.map(([a]) => a)),
      unit: 'events/s',
      peer,
    },
    {
      name: `EventStoreDB: ${readers} subscriptions catching up together, in all`,
      value: median(pairs.map(([, , c]) => c)),
      unit: 'events/s',
      peer,
    },
  ];
}

/** From the intended time of an append to its delivery, at a fixed rate. */
async function live(
  { store, bare, namespace }: Subject,
  seconds: number,
  perSecond: number,
): Promise<Result[]> {
  const measure = async (
    append: (n: number) => Promise<unknown>,
    follow: (seen: (n: number) => void, signal: AbortSignal) => Promise<void>,
  ): Promise<number> => {
    const due = new Map<number, number>();
    const samples: number[] = [];
    const stop = new AbortController();
    const following = follow((n) => {
      const intended = due.get(n);
      if (intended !== undefined) samples.push(performance.now() - intended);
    }, stop.signal);
    await openLoop(seconds, perSecond, (n, intended) => {
      due.set(n, intended);
      void append(n);
    });
    while (samples.length < due.size) await new Promise((resolve) => setTimeout(resolve, 5));
    stop.abort();
    await following;
    return latencies(samples).p50;
  };
  const head = await store.head();
  const [runA, runB] = [randomUUID(), randomUUID()];
  const own = await measure(
    (n) => store.append(`${runA}-${n}`, noStream, [event()]),
    async (seen, signal) => {
      for await (const batch of store.subscribe({ after: head, signal })) {
        for (const { stream } of batch.events) if (stream.startsWith(runA)) seen(Number(stream.slice(37)));
      }
    },
  );
  const prefix = `${namespace}.${runB}-`;
  const peer = await measure(
    (n) => bare.appendToStream(`${prefix}${n}`, [bareEvent()], { expectedRevision: 'no_stream' }),
    async (seen, signal) => {
      const subscription = bare.subscribeToAll({
        fromPosition: head,
        filter: streamNameFilter({ prefixes: [`${namespace}.`] }),
      });
      signal.addEventListener('abort', () => void subscription.unsubscribe());
      for await (const { event: found } of subscription) {
        if (found?.streamId.startsWith(prefix)) seen(Number(found.streamId.slice(prefix.length)));
      }
    },
  );
  return [
    {
      name: `EventStoreDB: append to delivery at ${perSecond}/s, p50`,
      value: own,
      unit: 'ms',
      peer: { name: 'the bare client', value: peer, unit: 'ms' },
    },
  ];
}

export async function eventstoredb(seconds: number, events: number): Promise<Result[]> {
  const given = process.env['TALLYBACK_TEST_ESDB_URL'];
  const server =
    given === undefined ? await eventStoreDb() : { address: given, stop: () => Promise.resolve() };
  const namespace = `bench_${randomUUID().replaceAll('-', '')}`;
  const store = await openEventStoreDb({ connectionString: server.address, namespace });
  const bare = EventStoreDBClient.connectionString(server.address);
  try {
    const subject = { namespace, store, bare };
    const results = [await appends(subject, seconds), ...(await live(subject, seconds, 200))];
    await fill(store, events);
    return [...results, ...(await catchUp(subject))];
  } finally {
    await bare.dispose();
    await store.close();
    await server.stop();
  }
}
