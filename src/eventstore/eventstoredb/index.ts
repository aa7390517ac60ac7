/** The EventStoreDB and KurrentDB adapter, as the rest of Tallyback may see it. */
export {
  checkConnectionString,
  ConnectionStringError,
  describeConnectionString,
} from './connection-string.ts';
export {
  NotForThisCopy,
  openEventStoreDb,
  openEventStoreDbCopy,
  type EventStoreDbOptions,
} from './eventstoredb-event-store.ts';
