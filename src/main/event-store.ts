/** Which event log a command works on, and how it is opened. */
import {
  checkConnectionString,
  describeConnectionString,
  openEventStoreDb,
} from '../eventstore/eventstoredb/index.ts';
import type { EventStore, Position } from '../eventstore/port.ts';
import { openPostgresEventStore } from '../eventstore/postgres/postgres-event-store.ts';
import {
  type EventStoreConfiguration,
  type ServerConfiguration,
  serverConfiguration,
} from '../operations/configuration.ts';
import { storeLog } from './store-log.ts';

/** A log is still being filled from another one; the message says what to do. */
export class IncompleteCopy extends Error {
  override readonly name = 'IncompleteCopy';
}

/** The settings of this process. Throws ConfigurationError. */
export const configurationOf = (flags: Parameters<typeof serverConfiguration>[0]): ServerConfiguration =>
  serverConfiguration(flags, process.env, checkConnectionString);

/** Opens the log that is to be used: the one in Postgres unless another is named. Throws IncompleteCopy. */
export async function openEventStore(
  { eventStore }: Pick<ServerConfiguration, 'eventStore'>,
  postgresUrl: string,
  log: (line: string) => void,
): Promise<EventStore> {
  const store = await (eventStore
    ? openEventStoreDb({ ...eventStore, log: storeLog(log) })
    : openPostgresEventStore({ connectionString: postgresUrl, log: storeLog(log) }));
  return wholeLog(store);
}

/** The store, unless it holds only a part of the log it is a copy of; it is closed then. */
export async function wholeLog(store: EventStore): Promise<EventStore> {
  const { origin } = store;
  if (!origin || origin.complete) return store;
  await store.close();
  throw new IncompleteCopy(
    `a copy is under way into this event log, from ${origin.storeId}: run copy-log again to finish it`,
  );
}

/** For people; holds no secrets. */
export const describeEventStore = ({ eventStore }: Pick<ServerConfiguration, 'eventStore'>): string =>
  eventStore ? describeEventStoreDb(eventStore) : 'in the same Postgres';

export const describeEventStoreDb = ({ connectionString, namespace }: EventStoreConfiguration): string =>
  `${describeConnectionString(connectionString)}, namespace ${namespace}`;

/** How many events lie between two positions. Only those of the Postgres log are dense, from 1 on. */
export const countEvents = (
  { eventStore }: Pick<ServerConfiguration, 'eventStore'>,
  after: Position,
  head: Position,
): bigint | undefined => (eventStore ? undefined : head.commit - (after.commit > 0n ? after.commit : 0n));

/** Whether the log has an event after a position. Asks for one: the end of a shared store may not be ours. */
export async function hasMore(store: EventStore, after: Position, signal: AbortSignal): Promise<boolean> {
  const found = new AbortController();
  const both = AbortSignal.any([signal, found.signal]);
  try {
    for await (const batch of store.subscribe({ after, signal: both, maxBatch: 1 })) {
      if (batch.events.length > 0) return true;
      if (batch.caughtUp) return false;
    }
    return false;
  } finally {
    found.abort();
  }
}
