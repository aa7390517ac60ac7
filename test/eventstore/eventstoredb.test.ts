import { randomUUID } from 'node:crypto';
import { openEventStoreDb } from '../../src/eventstore/eventstoredb/index.ts';
import { fixtures, realServers, sayWhatRuns, type ServerKind } from '../support/eventstoredb-servers.ts';
import { describeEventStoreContract, type TestLog } from './contract.ts';

/** A log of its own: a namespace that nobody else uses, whoever shares the server. */
const makeLog =
  (kind: ServerKind, tail: { readonly events?: number } = {}) =>
  async (): Promise<TestLog> => {
    const server = await kind.start();
    const namespace = `test_${randomUUID().replaceAll('-', '')}`;
    return {
      open: () => openEventStoreDb({ connectionString: server.connectionString, namespace, tail }),
      dispose: () => server.stop(),
    };
  };

const traits = { idsUniqueInLog: false, startsEmpty: false };

sayWhatRuns('The event store contract');
for (const kind of [...fixtures, ...realServers]) {
  describeEventStoreContract(kind.name, makeLog(kind), traits);
  // Every path between ring and pages is taken when the ring holds next to nothing.
  describeEventStoreContract(`${kind.name}, a tiny ring`, makeLog(kind, { events: 16 }), traits);
}
