/** Whole servers in this process, on one database and one event log. */
import { checkConnectionString } from '../../../src/eventstore/eventstoredb/index.ts';
import { type Connection, connect } from '../../../src/main/client/connect.ts';
import { addressOf, type Instance, startInstance } from '../../../src/main/instance.ts';
import { serverConfiguration } from '../../../src/operations/configuration.ts';
import { createTestDatabase } from '../../support/postgres.ts';
import type { ServedStore, servedStores } from '../../support/served-stores.ts';

export interface Instances {
  /** One to each instance that was started with an API, in that order. */
  readonly connections: readonly Connection[];
  stop(): Promise<void>;
}

/** `roles`: of one instance each, such as "api,projector"; undefined: all of them. `more`: settings of all. */
export async function startInstances(
  kind: (typeof servedStores)[number],
  roles: readonly (string | undefined)[],
  more: NodeJS.ProcessEnv = {},
): Promise<Instances> {
  const undo: (() => Promise<unknown> | void)[] = [];
  const stop = async (): Promise<void> => {
    for (const one of undo.splice(0).toReversed()) await one();
  };
  try {
    const store: ServedStore = await kind.start();
    undo.push(() => store.stop());
    const database = await createTestDatabase();
    undo.push(() => database.drop());
    const connections: Connection[] = [];
    for (const these of roles) {
      const flags = { listen: '127.0.0.1:0', roles: these };
      const env = {
        ...store.env,
        DATABASE_URL: database.url,
        TALLYBACK_AUDIT_ROWS_PER_SECOND: '0',
        ...more,
      };
      const configuration = serverConfiguration(flags, env, checkConnectionString);
      const instance: Instance = await startInstance(configuration, () => undefined);
      undo.push(() => instance.stop());
      if (instance.address === undefined) continue;
      const connection = connect(addressOf(instance));
      undo.push(() => connection.close());
      connections.push(connection);
    }
    return { connections, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
