/** What the event store has to say, as lines for operators. */
import type { StoreLog } from '../eventstore/log.ts';

export const storeLog =
  (log: (line: string) => void): StoreLog =>
  (level, message, details) => {
    if (level === 'debug') return;
    log(`event store: ${message}${details ? ` ${JSON.stringify(details)}` : ''}`);
  };
