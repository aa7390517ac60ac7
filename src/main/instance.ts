/** A running server: everything in one process. */
import type { EventStore } from '../eventstore/port.ts';
import type { ServerConfiguration } from '../operations/configuration.ts';
import { compose, parts } from './container.ts';
import { describeEventStore } from './event-store.ts';

export interface Instance {
  /** Where the gRPC API listens, HOST:PORT; undefined if it is not a role of this instance. */
  readonly address: string | undefined;
  /** Where browsers may watch, HOST:PORT; undefined: nowhere. */
  readonly sse: string | undefined;
  /** Where metrics are served, HOST:PORT; undefined: nowhere. */
  readonly metrics: string | undefined;
  /** The Postgres it stands on, for people. */
  readonly postgres: string;
  /** The event log it is on, for people. */
  readonly eventLog: string;
  readonly store: EventStore;
  /**
   * Resolves, with what there is to say, when the instance cannot go on: its Postgres ended by
   * itself, or its read models follow another event log now.
   */
  readonly lost: Promise<string>;
  stop(): Promise<void>;
}

export async function startInstance(
  configuration: ServerConfiguration,
  log: (line: string) => void,
): Promise<Instance> {
  const composition = compose(configuration, log);
  try {
    await composition.get(parts.projections);
    const api = configuration.roles.includes('api') ? await composition.get(parts.api) : undefined;
    const metrics = await composition.get(parts.metrics);
    const postgres = await composition.get(parts.postgres);
    return {
      address: api?.address,
      sse: api?.sseAddress,
      metrics: metrics?.address,
      postgres: postgres.description,
      eventLog: describeEventStore(configuration),
      lost: Promise.race([postgres.lost, composition.lost]),
      store: await composition.get(parts.store),
      stop: () => composition.stop(),
    };
  } catch (error) {
    await composition.stop();
    throw error;
  }
}

/** Where clients reach it. For an instance that was started with the role. */
export function addressOf({ address }: Instance): string {
  if (address === undefined) throw new Error('this instance has no API');
  return address;
}
