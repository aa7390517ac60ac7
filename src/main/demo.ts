/** `tallyback demo`: a private instance in a temporary folder, and a shop played through it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../operations/timing.ts';
import { logStart, type EventStore, type RecordedEvent } from '../eventstore/port.ts';
import { runDemo } from './demo/run-demo.ts';
import { roles } from '../operations/configuration.ts';
import { configurationOf } from './event-store.ts';
import { addressOf, startInstance } from './instance.ts';
import type { Terminal } from './terminal.ts';

/** Exit code: 0 when every read model equals what the log says. */
export async function demo(
  options: { readonly seconds: number | undefined; readonly seed: number | undefined },
  terminal: Terminal,
): Promise<number> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tallyback-demo-'));
  try {
    const configuration = configurationOf({ data: dataDir, listen: '127.0.0.1:0' });
    // A demo leaves no trace in a database that is used for something else.
    // A line of the server's would tear the picture on a terminal.
    const log = process.stdout.isTTY ? () => undefined : terminal.log;
    const instance = await startInstance(
      { ...configuration, databaseUrl: undefined, eventStore: undefined, roles },
      log,
    );
    try {
      terminal.print(`A private instance on ${instance.address}; ${instance.postgres}`);
      return await runDemo(
        {
          target: addressOf(instance),
          seed: options.seed ?? 1,
          seconds: options.seconds ?? 25,
          readLog: () => wholeLog(instance.store),
        },
        {
          out: process.stdout,
          isTTY: process.stdout.isTTY,
          signal: terminal.signal,
          clock: systemClock,
        },
      );
    } finally {
      await instance.stop();
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function* wholeLog(store: EventStore): AsyncIterable<RecordedEvent> {
  const done = new AbortController();
  for await (const batch of store.subscribe({ after: logStart, signal: done.signal })) {
    yield* batch.events;
    if (batch.caughtUp) break;
  }
}
