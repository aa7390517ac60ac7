/** A running server: everything in one process. */
import type { EventStore } from '../eventstore/port.ts';
import type { ServerConfiguration } from '../operations/configuration.ts';
import { compose, parts } from './container.ts';

export interface Instance {
  /** Where the gRPC API listens: HOST:PORT. */
  readonly address: string;
  /** The Postgres it stands on, for people. */
  readonly postgres: string;
  readonly store: EventStore;
  /** Resolves, with what there is to say, when the instance cannot go on: its Postgres ended by itself. */
  readonly lost: Promise<string>;
  stop(): Promise<void>;
}

export async function startInstance(
  configuration: ServerConfiguration,
  log: (line: string) => void,
): Promise<Instance> {
  const composition = compose(configuration, log);
  try {
    const api = await composition.get(parts.api);
    const postgres = await composition.get(parts.postgres);
    return {
      address: api.address,
      postgres: postgres.description,
      lost: postgres.lost,
      store: await composition.get(parts.store),
      stop: () => composition.stop(),
    };
  } catch (error) {
    await composition.stop();
    throw error;
  }
}
