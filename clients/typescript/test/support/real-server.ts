/** A whole server in this process, on a database of its own. */
import { configurationOf } from '../../../../src/main/event-store.ts';
import { addressOf, startInstance } from '../../../../src/main/instance.ts';
import { roles } from '../../../../src/operations/configuration.ts';
import { createTestDatabase } from '../../../../test/support/postgres.ts';

export interface RealServer {
  readonly address: string;
  stop(): Promise<void>;
}

export async function startRealServer(): Promise<RealServer> {
  const database = await createTestDatabase();
  const configuration = configurationOf({ listen: '127.0.0.1:0' });
  const instance = await startInstance(
    { ...configuration, databaseUrl: database.url, eventStore: undefined, metricsListen: undefined, roles },
    () => undefined,
  );
  return {
    address: addressOf(instance),
    async stop() {
      await instance.stop();
      await database.drop();
    },
  };
}
