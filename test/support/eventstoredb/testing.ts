/** For the fixture's own tests: servers and clients that are gone when the test is, and short ways to say things. */
import { credentials } from '@grpc/grpc-js';
import { EventStoreDBClient, type EventData, jsonEvent, type ResolvedEvent } from '@eventstore/db-client';
import { StreamsClient } from '@eventstore/db-client/generated/streams_grpc_pb.js';
import { onTestFinished } from 'vitest';
import { type EventStoreDb, type EventStoreDbOptions, startEventStoreDb } from './index.ts';

export async function start(options?: EventStoreDbOptions): Promise<EventStoreDb> {
  const server = await startEventStoreDb(options);
  onTestFinished(() => server.close());
  return server;
}

/** `options` continue the connection string: `&tlsCAFile=…`. */
export function connect(
  { connectionString }: Pick<EventStoreDb, 'connectionString'>,
  options = '',
): EventStoreDBClient {
  const client = EventStoreDBClient.connectionString(connectionString + options);
  onTestFinished(() => {
    // Not waited for: it never resolves once a server has ended a stream of batch appends with OK.
    void client.dispose();
  });
  return client;
}

/** Without the client package's logic: for what would bring that down. */
export function connectRaw(server: EventStoreDb): StreamsClient {
  const client = new StreamsClient(`127.0.0.1:${server.leader.port}`, credentials.createInsecure());
  onTestFinished(() => {
    client.close();
  });
  return client;
}

let last = 0;

/** Ids like any other, the same in every run. */
export function nextId(): string {
  return `00000000-0000-4000-8000-${`${++last}`.padStart(12, '0')}`;
}

export const event = (n = 0, id = nextId()): EventData => jsonEvent({ id, type: 'counted', data: { n } });

export const events = (count: number): EventData[] => Array.from({ length: count }, (_, n) => event(n));

/** The unary call, and not the stream of batch appends: on a connection without TLS they are not sent. */
export const unary = { credentials: { username: 'nobody', password: 'nothing' } } as const;

/** `order-1@0`, of what a reader was given. */
export const name = ({ event, link }: ResolvedEvent): string => {
  const recorded = link ?? event;
  return `${recorded?.streamId ?? '?'}@${recorded?.revision ?? '?'}`;
};

export async function all<Item>(source: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of source) found.push(item);
  return found;
}

export const names = async (source: AsyncIterable<ResolvedEvent>): Promise<string[]> =>
  (await all(source)).map(name);

/** What a promise was rejected with; an error if it was not. */
export async function rejection(promise: Promise<unknown>): Promise<Record<string, unknown>> {
  const settled = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (typeof settled !== 'object' || settled === null) throw new Error('it was not rejected');
  return { ...settled };
}
