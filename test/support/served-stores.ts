/** The event logs that a whole server is tested on, as the environment it is started with. */
import { randomUUID } from 'node:crypto';
import { realServers } from './eventstoredb-servers.ts';
import { startEventStoreDb } from './eventstoredb/index.ts';

export interface ServedStore {
  readonly env: NodeJS.ProcessEnv;
  /** Cuts every connection to the log, where that can be done from here. */
  cut(): void;
  stop(): Promise<void>;
}

interface ServedStoreKind {
  readonly name: string;
  start(): Promise<ServedStore>;
}

const environment = (connectionString: string): NodeJS.ProcessEnv => ({
  TALLYBACK_EVENT_STORE: connectionString,
  TALLYBACK_EVENT_STORE_NAMESPACE: `test_${randomUUID().replaceAll('-', '')}`,
});

/** Three nodes that drop slow consumers, as the last servers of the old line do. */
export const servedFixture: ServedStoreKind = {
  name: 'EventStoreDB (the protocol fixture)',
  async start() {
    const cluster = await startEventStoreDb({ nodes: 3, slowConsumers: 'drop' });
    return {
      env: environment(`${cluster.connectionString}&defaultDeadline=3000`),
      cut: () => {
        for (const node of cluster.nodes) node.dropConnections();
      },
      stop: () => cluster.close(),
    };
  },
};

export const servedStores: readonly ServedStoreKind[] = [
  {
    name: 'the embedded log',
    start: () => Promise.resolve({ env: {}, cut: () => undefined, stop: () => Promise.resolve() }),
  },
  servedFixture,
  ...realServers.map((kind): ServedStoreKind => ({
    name: `EventStoreDB (${kind.name})`,
    async start() {
      const server = await kind.start();
      return {
        env: environment(server.connectionString),
        cut: () => undefined,
        stop: () => server.stop(),
      };
    },
  })),
];
