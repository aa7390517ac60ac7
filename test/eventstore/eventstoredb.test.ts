import { randomUUID } from 'node:crypto';
import { openEventStoreDb } from '../../src/eventstore/eventstoredb/index.ts';
import { describeEventStoreContract, type TestLog } from './contract.ts';

/** A log of its own on a shared server: a namespace nobody else uses. */
const makeLog =
  (connectionString: string, tail: { readonly events?: number } = {}) =>
  async (): Promise<TestLog> => {
    const namespace = `test_${randomUUID().replaceAll('-', '')}`;
    return Promise.resolve({
      open: () => openEventStoreDb({ connectionString, namespace, tail }),
      dispose: () => Promise.resolve(),
    });
  };

const traits = { idsUniqueInLog: false, startsEmpty: false };

const real = process.env['TALLYBACK_TEST_ESDB_URL'];
if (real) {
  describeEventStoreContract('a real EventStoreDB', makeLog(real), traits);
  describeEventStoreContract('a real EventStoreDB with a tiny ring', makeLog(real, { events: 16 }), traits);
}
