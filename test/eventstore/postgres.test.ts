import { openPostgresEventStore } from '../../src/eventstore/postgres/postgres-event-store.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { describeEventStoreContract, type TestLog } from './contract.ts';

const makeLog =
  (tail: { readonly events?: number; readonly length?: number; readonly listen?: boolean }) =>
  async (): Promise<TestLog> => {
    const database = await createTestDatabase();
    return {
      open: () => openPostgresEventStore({ connectionString: database.url, tail }),
      dispose: () => database.drop(),
    };
  };

const traits = { idsUniqueInLog: true, startsEmpty: true };

describeEventStoreContract('Postgres', makeLog({}), traits);
// Every path between ring and pages is taken when the ring holds next to nothing.
describeEventStoreContract(
  'Postgres with a tiny ring, polling',
  makeLog({ events: 16, listen: false }),
  traits,
);
