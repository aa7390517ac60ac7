/** Copying a log: interrupted anywhere, over faults, from a log that grows; and what must stop it. */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  CannotCopy,
  copyLog,
  type CopyLogOptions,
  type CopyResult,
  runsOf,
} from '../../src/eventstore/copy-log.ts';
import { systemEdges } from '../../src/eventstore/edges.ts';
import {
  type AppendResult,
  AppendTooLarge,
  type CopyTarget,
  type EventStore,
  type LogBatch,
  logStart,
  type NewEvent,
  noStream,
  type RecordedEvent,
  type SubscribeOptions,
} from '../../src/eventstore/port.ts';
import {
  openPostgresCopy,
  openPostgresEventStore,
} from '../../src/eventstore/postgres/postgres-event-store.ts';
import { openEventStoreDb, openEventStoreDbCopy } from '../../src/eventstore/eventstoredb/index.ts';
import { chance } from '../support/chance.ts';
import { refusals, startEventStoreDb } from '../support/eventstoredb/index.ts';
import { fixtures, realServers } from '../support/eventstoredb-servers.ts';
import { MemoryEventStore } from '../support/memory-event-store.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { append, follow, newEvent, newEvents, rejection } from './samples.ts';

/** The process ends in the middle of an append: nobody hears of its outcome. */
class Killed extends Error {}

/** A target that can be killed, before an append, after it, or so that it is only stored a while later. */
class MemoryCopy extends MemoryEventStore implements CopyTarget {
  complete = false;
  killAt = Number.POSITIVE_INFINITY;
  how: 'before' | 'after' | 'late' = 'before';
  mostEvents = Number.POSITIVE_INFINITY;
  #late: (() => Promise<unknown>) | undefined;

  override async append(
    stream: string,
    expectedRevision: number,
    events: readonly NewEvent[],
  ): Promise<AppendResult> {
    const late = this.#late;
    this.#late = undefined;
    await late?.();
    if (events.length > this.mostEvents) throw new AppendTooLarge('too many');
    if (this.appends + 1 >= this.killAt) {
      this.killAt = Number.POSITIVE_INFINITY;
      const really = () => super.append(stream, expectedRevision, events);
      if (this.how === 'after') await really();
      if (this.how === 'late') this.#late = really;
      throw new Killed();
    }
    return super.append(stream, expectedRevision, events);
  }

  completeCopy(): Promise<void> {
    this.complete = true;
    return Promise.resolve();
  }
}

/** Gives the log in batches of that size, whatever is asked for. */
class MemorySource extends MemoryEventStore {
  batch = 1_000;

  override subscribe(options: SubscribeOptions): AsyncIterable<LogBatch> {
    return super.subscribe({ ...options, maxBatch: this.batch });
  }

  /** At once, in the middle of whatever goes on. */
  grow(stream: string): void {
    const at = BigInt(this.log.length + 1);
    const revision = this.log.filter((event) => event.stream === stream).length;
    const position = { commit: at, prepare: at };
    this.log.push({ ...newEvent(), stream, revision, position, recordedAt: new Date(0) });
  }
}

async function extend(store: EventStore, ...runs: readonly (readonly [string, number])[]): Promise<void> {
  for (const [stream, count] of runs) {
    let end = noStream;
    for await (const event of store.readStream(stream)) end = event.revision;
    await append(store, stream, end, newEvents(count));
  }
}

const withoutPlace = ({ stream, revision, id, type, data, metadata }: RecordedEvent): object => ({
  stream,
  revision,
  id,
  type,
  data,
  metadata,
});
const contents = (log: readonly RecordedEvent[]): object[] => log.map(withoutPlace);

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

const quickly = { ...systemEdges, pause: () => Promise.resolve() };

const run = (
  source: EventStore,
  target: CopyTarget,
  options: Partial<CopyLogOptions> = {},
): Promise<CopyResult> =>
  copyLog({ source, target, signal: new AbortController().signal, edges: quickly, ...options });

const aRun = fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.integer({ min: 1, max: 5 }));
const aFault = fc.constantFrom('lose-request', 'lose-answer', undefined);

describe('a copy', () => {
  test('is the log again, event by event, and says that it is complete', async () => {
    const [source, target] = [new MemorySource(), new MemoryCopy()];
    await extend(source, ['a', 250], ['b', 1], ['a', 2], ['c', 120]);
    const result = await run(source, target);
    expect(result).toMatchObject({ complete: true, events: 373, copied: 373 });
    expect(contents(target.log)).toEqual(contents(source.log));
    expect(target.complete).toBe(true);
    expect(target.appends).toBe(3 + 1 + 1 + 2);
  });

  test('of an empty log is complete at once', async () => {
    const target = new MemoryCopy();
    expect(await run(new MemorySource(), target)).toMatchObject({ complete: true, events: 0, copied: 0 });
    expect(target.complete).toBe(true);
  });

  test('killed at any append, cut anew at every start, with answers and requests lost, ends as the log', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(aRun, { minLength: 1, maxLength: 12 }),
        fc.array(
          fc.record({
            after: fc.integer({ min: 1, max: 6 }),
            how: fc.constantFrom('before', 'after', 'late'),
            batch: fc.integer({ min: 1, max: 9 }),
          }),
          { maxLength: 5 },
        ),
        fc.array(aFault, { maxLength: 20 }),
        async (runs, kills, faults) => {
          const [source, target] = [new MemorySource(), new MemoryCopy()];
          await extend(source, ...runs);
          target.faults.push(...faults);
          for (const { after, how, batch } of kills) {
            source.batch = batch;
            target.killAt = target.appends + after;
            target.how = how;
            await run(source, target).catch((error: unknown) => {
              if (!(error instanceof Killed)) throw error;
            });
            // What is there is always a beginning of the log, in its order.
            expect(contents(target.log)).toEqual(contents(source.log.slice(0, target.log.length)));
          }
          target.killAt = Number.POSITIVE_INFINITY;
          source.batch = 7;
          const result = await run(source, target);
          expect(result).toMatchObject({ complete: true, events: source.log.length });
          expect(contents(target.log)).toEqual(contents(source.log));
        },
      ),
      { numRuns: 300 },
    );
  });

  test('follows a source that grows meanwhile, in every phase, until it is quiet', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = chance(seed);
      const [source, target] = [new MemorySource(), new MemoryCopy()];
      source.batch = 3;
      await extend(source, ['a', 10], ['b', 2], ['a', 1]);
      let left = 12;
      const result = await run(source, target, {
        onProgress: () => {
          if (left === 0 || random() < 0.5) return;
          left--;
          source.grow(random() < 0.5 ? 'a' : `new-${left}`);
        },
      });
      expect(result).toMatchObject({ complete: true, events: 13 + 12 - left });
      expect(contents(target.log)).toEqual(contents(source.log));
    }
  });

  test('stops when its user wants, at any time, and goes on from there', async () => {
    const [source, target] = [new MemorySource(), new MemoryCopy()];
    source.batch = 5;
    await extend(source, ['a', 9], ['b', 9], ['a', 9], ['c', 9]);
    for (let steps = 1; steps < 6; steps++) {
      const stop = new AbortController();
      let seen = 0;
      const result = await run(source, target, {
        signal: stop.signal,
        onProgress: () => {
          if (++seen === steps) stop.abort();
        },
      });
      expect(result.complete).toBe(false);
      expect(target.complete).toBe(false);
    }
    const before = target.log.length;
    expect(before).toBeGreaterThan(5);
    expect(await run(source, target)).toMatchObject({ complete: true, copied: 36 - before, events: 36 });
  });

  test('waits for a target that does not answer, says so once, and can be stopped meanwhile', async () => {
    const [source, target] = [new MemorySource(), new MemoryCopy()];
    await extend(source, ['a', 3], ['b', 3]);
    target.faults.push(undefined, 'lose-request', 'lose-request', 'lose-answer', 'lose-request');
    const lines: string[] = [];
    const log: CopyLogOptions['log'] = (level, message) => void lines.push(`${level}: ${message}`);
    expect(await run(source, target, { log })).toMatchObject({ complete: true });
    expect(lines).toEqual([
      'warn: the target does not answer; trying until it does',
      'info: the target answers again',
    ]);

    const never = new MemoryCopy();
    never.faults.push(...Array.from({ length: 10_000 }, () => 'lose-request' as const));
    const signal = AbortSignal.timeout(50);
    const stopped = await run(source, never, { signal, edges: systemEdges });
    expect(stopped).toMatchObject({ complete: false, copied: 0 });
  });

  test('sends less at a time where the target takes less', async () => {
    const [source, target] = [new MemorySource(), new MemoryCopy()];
    target.mostEvents = 3;
    await extend(source, ['a', 100], ['b', 4]);
    expect(await run(source, target)).toMatchObject({ complete: true, events: 104 });
    expect(contents(target.log)).toEqual(contents(source.log));
  });
});

describe('one append', () => {
  test('holds events of one stream that follow each other, no more than any store takes', () => {
    const recorded = (stream: string, revision: number, data = '{}'): RecordedEvent => ({
      ...newEvent({ data }),
      stream,
      revision,
      position: logStart,
      recordedAt: new Date(0),
    });
    const big = JSON.stringify('é'.repeat(150_000));
    const log = [
      ...Array.from({ length: 205 }, (_, n) => recorded('a', n)),
      recorded('b', 0),
      recorded('b', 1),
      recorded('b', 3),
      recorded('c', 0, big),
      recorded('c', 1, big),
      recorded('c', 2, big),
      recorded('c', 3, JSON.stringify('x'.repeat(900_000))),
      recorded('c', 4),
    ];
    expect(Array.from(runsOf(log), (one) => one.length)).toEqual([100, 100, 5, 2, 1, 1, 1, 1, 1, 1]);
    expect(Array.from(runsOf(log)).flat()).toEqual(log);
  });
});

describe('what cannot be made equal stops the copy', () => {
  const refusal = async (
    source: EventStore,
    target: MemoryCopy,
    options: Partial<CopyLogOptions> = {},
  ): Promise<CannotCopy> => {
    const error = await rejection(run(source, target, options));
    expect(target.complete).toBe(false);
    if (!(error instanceof CannotCopy)) throw error;
    return error;
  };

  test('an event that differs in anything, wherever it is', async () => {
    const changes: readonly Partial<RecordedEvent>[] = [
      { id: randomUUID() },
      { type: 'other' },
      { data: '{ }' },
      { metadata: '{"a":1}' },
      { stream: 'z' },
      { revision: 7 },
    ];
    for (const change of changes) {
      for (const at of [0, 3, 5]) {
        const [source, target] = [new MemorySource(), new MemoryCopy()];
        source.batch = 2;
        await extend(source, ['a', 3], ['b', 3]);
        target.log.push(...source.log.map((event, n) => (n === at ? { ...event, ...change } : event)));
        const found = await refusal(source, target);
        const original = source.log[at];
        expect(found).toMatchObject({
          reason: 'differs',
          stream: original?.stream,
          revision: original?.revision,
        });
        expect(found.message).toContain(original?.id);
        expect(found.message).toContain(`Different: ${Object.keys(change).join()}`);
      }
    }
  });

  test('events in another order', async () => {
    const [source, target] = [new MemorySource(), new MemoryCopy()];
    await extend(source, ['a', 1], ['b', 1]);
    target.log.push(...source.log.toReversed());
    expect(await refusal(source, target)).toMatchObject({ reason: 'differs', stream: 'a', revision: 0 });
  });

  test('an event that only the target has', async () => {
    const [source, target] = [new MemorySource(), new MemoryCopy()];
    await extend(source, ['a', 2]);
    await run(source, target);
    target.complete = false;
    await extend(target, ['x', 1]);
    expect(await refusal(source, target)).toMatchObject({ reason: 'target-ahead', stream: 'x', revision: 0 });
  });

  test('somebody else who writes to the target', async () => {
    const [source, target] = [new MemorySource(), new MemoryCopy()];
    await extend(source, ['a', 1], ['b', 1], ['a', 1]);
    let foreign: Promise<void> | undefined;
    const found = await refusal(source, target, {
      onProgress: ({ phase }) => {
        if (phase === 'copying') foreign ??= extend(target, ['a', 1]);
      },
    });
    expect(found).toMatchObject({ reason: 'conflict', stream: 'a', revision: 1 });
    expect(found.message).toContain(source.log[2]?.id);
  });

  test('one id in two streams, where ids are unique', async () => {
    const [source, target] = [new MemorySource(), new MemoryCopy()];
    await extend(source, ['a', 1], ['b', 1]);
    const [first, second] = source.log;
    if (first && second) source.log[1] = { ...second, id: first.id };
    const found = await refusal(source, target);
    expect(found).toMatchObject({ reason: 'id-in-use', stream: 'b', revision: 0 });
    expect(found.message).toContain('event 0 of stream "a"');
  });

  test('a stream without its beginning', async () => {
    for (const firstRevision of [1, 5]) {
      const [source, target] = [new MemorySource(), new MemoryCopy()];
      await extend(source, ['a', 2], ['b', 1]);
      const cut = source.log[2];
      if (cut) source.log[2] = { ...cut, revision: firstRevision };
      const found = await refusal(source, target);
      expect(found).toMatchObject({ reason: 'gap', stream: 'b', revision: firstRevision });
      expect(found.message).toContain('no longer has event 0');
    }
  });

  test('an event too large for the target, and one that no store here takes', async () => {
    const [source, target] = [new MemorySource(), new MemoryCopy()];
    await extend(source, ['a', 3]);
    target.mostEvents = 0;
    expect(await refusal(source, target)).toMatchObject({ reason: 'too-large', stream: 'a', revision: 0 });

    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    const postgres = await openPostgresCopy({ connectionString: database.url }, source.id);
    onTestFinished(() => postgres.close());
    const [event] = source.log;
    if (event) source.log.splice(0, 3, { ...event, metadata: '' });
    await expect(run(source, postgres)).rejects.toMatchObject({ name: 'CannotCopy', reason: 'not-storable' });
  });
});

/** A log in a Postgres of its own. */
async function filled(events: number, seed: number): Promise<EventStore> {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const store = await openPostgresEventStore({ connectionString: database.url });
  onTestFinished(() => store.close());
  const random = chance(seed);
  const ends = new Map<string, number>();
  for (let n = 0; n < events;) {
    const stream = `stream-"${Math.floor(random() * 30)}\\é`;
    const count = 1 + Math.floor(random() * 4);
    const end = ends.get(stream) ?? noStream;
    await append(
      store,
      stream,
      end,
      Array.from({ length: count }, () => newEvent({ data: ` {"n" :${random()}, "é\\u0001": "𝄞"}` })),
    );
    ends.set(stream, end + count);
    n += count;
  }
  return store;
}

describe('from Postgres to Postgres', () => {
  const wholeLog = (store: EventStore): Promise<RecordedEvent[]> =>
    follow(store, logStart, (_, batch) => batch.caughtUp);

  test('connections cut at any time, the copier restarted: the same log', async () => {
    const source = await filled(1_500, 1);
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    const proxy = await TcpProxy.before(database.url);
    onTestFinished(() => proxy.close());
    const random = chance(2);
    let complete = false;
    for (let start = 0; !complete && start < 50; start++) {
      const target = await openPostgresCopy(
        { connectionString: proxy.urlFor(database.url), appendTimeout: 2_000 },
        source.id,
      );
      expect(target.origin).toEqual({ storeId: source.id, complete: false });
      const stop = new AbortController();
      // Every start gets a little further, and the last one may end.
      const patience = start < 6 ? 40 + Math.floor(random() * 120) : Number.POSITIVE_INFINITY;
      let copied = 0;
      let cut: Promise<void> | undefined;
      const result = await copyLog({
        source,
        target,
        signal: stop.signal,
        onProgress: ({ phase }) => {
          if (phase !== 'copying') return;
          if (++copied >= patience) stop.abort();
          if (random() < 0.03) {
            proxy.loseAnswers = random() < 0.5;
            cut ??= pause(10).then(() => {
              proxy.loseAnswers = false;
              proxy.cutAll();
              cut = undefined;
            });
          }
        },
      });
      complete = result.complete;
      await target.close();
      await cut;
    }
    expect(complete).toBe(true);
    const copy = await openPostgresEventStore({ connectionString: database.url });
    onTestFinished(() => copy.close());
    expect(copy.origin).toEqual({ storeId: source.id, complete: true });
    expect(contents(await wholeLog(copy))).toEqual(contents(await wholeLog(source)));
  });

  test('two copiers at once leave nothing wrong behind', async () => {
    const source = await filled(400, 3);
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    const open = () => openPostgresCopy({ connectionString: database.url }, source.id);
    const targets = await Promise.all([open(), open()]);
    await Promise.allSettled(targets.map((target) => run(source, target)));
    await Promise.all(targets.map((target) => target.close()));
    const finished = await openPostgresEventStore({ connectionString: database.url });
    onTestFinished(() => finished.close());
    if (finished.origin?.complete !== true) {
      const last = await open();
      expect(await run(source, last)).toMatchObject({ complete: true });
      await last.close();
    }
    expect(contents(await wholeLog(finished))).toEqual(contents(await wholeLog(source)));
  });
});

describe('to EventStoreDB and back', () => {
  const wholeLog = (store: EventStore): Promise<RecordedEvent[]> =>
    follow(store, logStart, (_, batch) => batch.caughtUp);

  for (const kind of [...fixtures, ...realServers]) {
    test(`on ${kind.name}: a log with everything that texts may hold, interrupted`, async () => {
      const server = await kind.start();
      onTestFinished(() => server.stop());
      const namespace = `test_${randomUUID().replaceAll('-', '')}`;
      const options = { connectionString: server.connectionString, namespace };
      const source = await filled(400, 7);
      let interrupted = 0;
      for (let complete = false; !complete;) {
        const target = await openEventStoreDbCopy(options, source.id);
        const stop = new AbortController();
        let sent = 0;
        const result = await run(source, target, {
          signal: stop.signal,
          onProgress: ({ phase }) => {
            if (phase === 'copying' && ++sent === 40 && interrupted < 3) stop.abort();
          },
        });
        complete = result.complete;
        if (!complete) interrupted++;
        await target.close();
      }
      expect(interrupted).toBe(3);
      await expect(openEventStoreDbCopy(options, source.id)).rejects.toThrow(/finished copy/);
      const there = await openEventStoreDb(options);
      onTestFinished(() => there.close());
      expect(there.origin).toEqual({ storeId: source.id, complete: true });
      expect(contents(await wholeLog(there))).toEqual(contents(await wholeLog(source)));

      const database = await createTestDatabase();
      onTestFinished(() => database.drop());
      const back = await openPostgresCopy({ connectionString: database.url }, there.id);
      onTestFinished(() => back.close());
      expect(await run(there, back)).toMatchObject({ complete: true });
      expect(contents(await wholeLog(back))).toEqual(contents(await wholeLog(source)));
    }, 60_000);
  }

  test('with every kind of fault on the way', async () => {
    const source = await filled(300, 8);
    const server = await startEventStoreDb({ nodes: 3 });
    onTestFinished(() => server.close());
    const random = chance(9);
    const target = await openEventStoreDbCopy({ connectionString: server.connectionString }, source.id);
    onTestFinished(() => target.close());
    const result = await copyLog({
      source,
      target,
      signal: new AbortController().signal,
      onProgress: ({ phase }) => {
        if (phase !== 'copying' || random() > 0.1) return;
        const at = random() < 0.5 ? 'answer' : 'request';
        const kind = random() < 0.5 ? 'drop' : 'refuse';
        if (random() < 0.1) server.changeLeader();
        else if (kind === 'drop') server.faults.next({ on: 'batchAppend', fault: { kind }, at });
        else {
          const refusal = refusals.unavailable();
          server.faults.next({ on: 'batchAppend', fault: { kind, refusal }, at });
        }
      },
    });
    expect(result).toMatchObject({ complete: true });
    expect(contents(await wholeLog(target))).toEqual(contents(await wholeLog(source)));
  }, 60_000);

  test('an id that two streams share goes there, and not into Postgres', async () => {
    const server = await startEventStoreDb();
    onTestFinished(() => server.close());
    const source = await openEventStoreDb({ connectionString: server.connectionString });
    onTestFinished(() => source.close());
    const [event] = newEvents(1);
    if (!event) return;
    await append(source, 'a', noStream, [event]);
    await append(source, 'b', noStream, [event]);
    const other = await openEventStoreDbCopy(
      { connectionString: server.connectionString, namespace: 'other' },
      source.id,
    );
    onTestFinished(() => other.close());
    expect(await run(source, other)).toMatchObject({ complete: true, events: 2 });

    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    const postgres = await openPostgresCopy({ connectionString: database.url }, source.id);
    onTestFinished(() => postgres.close());
    await expect(run(source, postgres)).rejects.toMatchObject({ reason: 'id-in-use', stream: 'b' });
  });
});

describe('a Postgres log as the target', () => {
  test('takes an empty log or an unfinished copy of the same one, and nothing else', async () => {
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    const options = { connectionString: database.url };
    const [origin, other] = [randomUUID(), randomUUID()];
    const served = await openPostgresEventStore(options);
    expect(served.origin).toBeUndefined();
    await expect(openPostgresCopy(options, served.id)).rejects.toMatchObject({ name: 'CopyRefused' });
    await served.close();

    // Several at once, too.
    const copies = await Promise.all([1, 2, 3].map(() => openPostgresCopy(options, origin)));
    for (const copy of copies) {
      expect(copy.id).toBe(served.id);
      expect(copy.origin).toEqual({ storeId: origin, complete: false });
    }
    const [copy, ...rest] = copies;
    for (const one of rest) await one.close();
    await expect(openPostgresCopy(options, other)).rejects.toThrow(/a copy of another one already/);
    await copy?.append('s', noStream, newEvents(1));
    await copy?.close();

    const again = await openPostgresCopy(options, origin);
    await again.completeCopy();
    await again.completeCopy();
    await again.close();
    await expect(openPostgresCopy(options, origin)).rejects.toThrow(/a complete copy of .* already/);
    const complete = await openPostgresEventStore(options);
    expect(complete.origin).toEqual({ storeId: origin, complete: true });
    await complete.close();
  });

  test('is not one that holds events of its own', async () => {
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    const options = { connectionString: database.url };
    const store = await openPostgresEventStore(options);
    await store.append('s', noStream, newEvents(1));
    await store.close();
    await expect(openPostgresCopy(options, randomUUID())).rejects.toThrow(/holds events of its own/);
    const still = await openPostgresEventStore(options);
    expect(still.origin).toBeUndefined();
    await still.close();
  });

  test('that must exist is not made', async () => {
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    const opened = openPostgresEventStore({ connectionString: database.url, mustExist: true });
    await expect(opened).rejects.toMatchObject({ name: 'NoLog' });
  });

  test('may be of a version before copies: it is changed by who may, and served as it is by who may not', async () => {
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    const connectionString = database.url;
    const first = await openPostgresEventStore({ connectionString });
    await first.close();
    const admin = new pg.Client({ connectionString });
    await admin.connect();
    onTestFinished(() => admin.end());
    // As version 1 left it, and for a role (one that is there everywhere) that may use it and no more.
    await admin.query(`
      ALTER TABLE tallyback_log.log DROP COLUMN origin_id, DROP COLUMN origin_complete;
      UPDATE tallyback_log.log SET schema_version = 1;
      GRANT USAGE ON SCHEMA tallyback_log TO pg_monitor;
      GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA tallyback_log TO pg_monitor`);
    const version = async (): Promise<unknown> =>
      (await admin.query<{ schema_version: number }>('SELECT schema_version FROM tallyback_log.log')).rows[0]
        ?.schema_version;

    const lesser = { connectionString, client: { options: '-c role=pg_monitor' } };
    const served = await openPostgresEventStore(lesser);
    expect(served.id).toBe(first.id);
    expect(served.origin).toBeUndefined();
    await append(served, 's', noStream, newEvents(1));
    await expect(openPostgresCopy(lesser, randomUUID())).rejects.toMatchObject({ name: 'CopyRefused' });
    expect(await version()).toBe(1);

    const changed = await Promise.all([1, 2, 3].map(() => openPostgresEventStore({ connectionString })));
    expect(await version()).toBe(2);
    for (const store of [...changed, served]) {
      expect((await follow(store, logStart, (_, batch) => batch.caughtUp)).length).toBe(1);
      await store.close();
    }
    await admin.query('TRUNCATE tallyback_log.events');
    await expect(openPostgresCopy(lesser, randomUUID())).rejects.toThrow(/may not make/);
    const later = await openPostgresEventStore(lesser);
    expect(later.origin).toBeUndefined();
    await later.close();
  });
});
