/**
 * What every adapter of the event store must do: `describeEventStoreContract` runs it all against one.
 * The log may be shared with other tests: streams have fresh names, and positions are only compared.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EventStore } from '../../src/eventstore/port.ts';
import { appendContract } from './contract-append.ts';
import { modelContract } from './contract-model.ts';
import { readContract } from './contract-read.ts';
import { subscribeContract } from './contract-subscribe.ts';
import { newEvent, newStream } from './samples.ts';

/** A log that several stores open at once, as several processes would. */
export interface TestLog {
  open(): Promise<EventStore>;
  /** Called last, when all stores are closed. */
  dispose(): Promise<void>;
}

export interface AdapterTraits {
  /** An id cannot be used a second time anywhere in the log (EventStoreDB checks within the stream only). */
  readonly idsUniqueInLog: boolean;
  /** A new log is really empty. */
  readonly startsEmpty: boolean;
}

/** Two handles on one log, for the tests of a contract part. Filled before the first test runs. */
export interface Stores {
  readonly a: EventStore;
  readonly b: EventStore;
}

export function describeEventStoreContract(
  name: string,
  makeLog: () => Promise<TestLog>,
  traits: AdapterTraits,
): void {
  describe(`event store contract: ${name}`, () => {
    let log: TestLog | undefined;
    const opened: EventStore[] = [];

    beforeAll(async () => {
      log = await makeLog();
      opened.push(await log.open(), await log.open());
    });
    afterAll(async () => {
      for (const store of opened) await store.close();
      await log?.dispose();
    });

    const stores: Stores = {
      get a() {
        return storeAt(opened, 0);
      },
      get b() {
        return storeAt(opened, 1);
      },
    };

    appendContract(stores, traits);
    readContract(stores);
    subscribeContract(stores, makeLog, traits);
    modelContract(stores);

    it('tells its id, the same through every handle', () => {
      expect(stores.a.id).not.toBe('');
      expect(stores.b.id).toBe(stores.a.id);
    });

    it('refuses appends after closing, and closes twice', async () => {
      if (!log) throw new Error('no log');
      const store = await log.open();
      await store.close();
      await store.close();
      await expect(store.append(newStream(), -1, [newEvent()])).rejects.toMatchObject({
        name: 'EventStoreUnavailable',
      });
    });
  });
}

function storeAt(opened: readonly EventStore[], index: number): EventStore {
  const store = opened[index];
  if (!store) throw new Error('the store is not open yet');
  return store;
}
