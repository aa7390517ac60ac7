/** EventStoreDB stores on the protocol fixture, quick to give up and quick to try again, and gone with their test. */
import { afterAll, beforeAll, expect, onTestFinished, vi } from 'vitest';
import { type Edges, systemEdges } from '../../src/eventstore/edges.ts';
import { type EventStoreDbOptions, openEventStoreDb } from '../../src/eventstore/eventstoredb/index.ts';
import { type EventStore, EventStoreUnavailable } from '../../src/eventstore/port.ts';
import type { EventStoreDb } from '../support/eventstoredb/index.ts';

/** Pauses are cut short: what happens is what matters, never how long it takes. */
export const hasty: Partial<Edges> = {
  pause: (milliseconds, signal) => systemEdges.pause(Math.min(milliseconds, 20), signal),
};

export interface Changes extends Partial<EventStoreDbOptions> {
  /** More of the connection string: `&gossipTimeout=1`. */
  readonly parameters?: string;
}

/** Nothing is waited for longer than this many milliseconds. */
export const deadline = 300;

export function optionsFor(
  { connectionString }: EventStoreDb,
  { parameters = '', ...options }: Changes = {},
): EventStoreDbOptions {
  return {
    connectionString: `${connectionString}&defaultDeadline=${deadline}${parameters}`,
    namespace: 'test',
    edges: hasty,
    ...options,
    tail: { watchEvery: 20, ...options.tail },
  };
}

export async function open(server: EventStoreDb, changes?: Changes): Promise<EventStore> {
  const store = await openEventStoreDb(optionsFor(server, changes));
  onTestFinished(() => store.close());
  return store;
}

/** Asks again, with a breath between, until the outcome is known; says how often it was not. */
export async function insist<T>(
  ask: () => Promise<T>,
): Promise<{ readonly value: T; readonly unknown: number }> {
  for (let unknown = 0; ; unknown++) {
    try {
      return { value: await ask(), unknown };
    } catch (error) {
      if (!(error instanceof EventStoreUnavailable)) throw error;
      await systemEdges.pause(5, new AbortController().signal);
    }
  }
}

/** Waits until something is so. */
export const until = (check: () => void): Promise<void> =>
  vi.waitFor(check, { timeout: 20_000, interval: 5 });

/** No error of a test file may have had nobody to take it. */
export function expectNoStrayErrors(): void {
  const stray: unknown[] = [];
  const note = (error: unknown): void => void stray.push(error);
  beforeAll(() => {
    process.on('unhandledRejection', note).on('uncaughtException', note);
  });
  afterAll(() => {
    process.off('unhandledRejection', note).off('uncaughtException', note);
    expect(stray).toEqual([]);
  });
}
