/** The protocol fixture as a process of its own, so that its work is not counted as the client's. */
import { startEventStoreDb } from '../test/support/eventstoredb/index.ts';

const server = await startEventStoreDb();
console.log(`eventstoredb on ${server.connectionString}`);
process.once('SIGTERM', () => void server.close());
