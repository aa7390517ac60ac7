/** The EventStoreDB and KurrentDB adapter, as the rest of Tallyback may see it. */
export { checkConnectionString, describeConnectionString } from './connection-string.ts';
export {
  openEventStoreDb,
  openEventStoreDbCopy,
  type EventStoreDbOptions,
} from './eventstoredb-event-store.ts';
