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
  stop(): Promise<void>;
}

export async function startInstance(
  configuration: ServerConfiguration,
  log: (line: string) => void,
): Promise<Instance> {
  const composition = compose(configuration, log);
  try {
    const api = await composition.get(parts.api);
    return {
      address: api.address,
      postgres: (await composition.get(parts.postgres)).description,
      store: await composition.get(parts.store),
      stop: () => composition.stop(),
    };
  } catch (error) {
    await composition.stop();
    throw error;
  }
}
