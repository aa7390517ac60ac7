/** An event log that moves, by real processes: interrupted and killed, and then served from the other side. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { openEventStoreDbCopy } from '../../src/eventstore/eventstoredb/index.ts';
import { logStart, type RecordedEvent } from '../../src/eventstore/port.ts';
import {
  openPostgresCopy,
  openPostgresEventStore,
} from '../../src/eventstore/postgres/postgres-event-store.ts';
import { follow } from '../eventstore/samples.ts';
import { figures, type Rules } from '../golden/oracle.ts';
import { startEventStoreDb, type EventStoreDb } from '../support/eventstoredb/index.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { shopFile, shopRows } from '../support/shop-file.ts';
import { startServer, startTallyback, type TallybackProcess } from '../support/tallyback-process.ts';

// Several processes a test, each with a Postgres to start.
vi.setConfig({ testTimeout: 180_000 });

const rules: Rules = { bps: 750n, holdDays: 14, withdrawMonthly: 300n };
const rows = shopRows(400, 21);
const right = figures(rows, rules);

let folder: string;
let data: string;
const started: TallybackProcess[] = [];
const cleanUp: (() => Promise<unknown>)[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tallyback-copy-'));
  data = join(folder, 'data');
  writeFileSync(join(folder, 'shop.csv'), shopFile(rows));
});

afterEach(async () => {
  for (const one of started.splice(0)) {
    if (one.child.exitCode === null && one.child.signalCode === null) await one.end('SIGKILL');
  }
  for (const undo of cleanUp.splice(0).toReversed()) await undo();
  // The Postgres of a killed process ends by itself, a little later.
  for (const name of readdirSync(folder)) {
    while (existsSync(join(folder, name, 'pg', 'postmaster.pid'))) await pause(50);
  }
  rmSync(folder, { recursive: true, force: true });
});

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

function run(args: readonly string[], env: NodeJS.ProcessEnv = {}): TallybackProcess {
  const one = startTallyback(args, env);
  started.push(one);
  return one;
}

async function ends(one: TallybackProcess, code: number): Promise<string> {
  expect(await one.exited, one.output()).toBe(code);
  return one.output();
}

/** Imports the shop, and checks the report against the figures of an independent program. */
async function importShop(where: readonly string[]): Promise<string> {
  const flags = ['--rebate-bps', '750', '--hold-days', '14', '--withdraw-monthly', '300'];
  const report = join(folder, 'report');
  rmSync(report, { recursive: true, force: true });
  const client = run([
    'import',
    'online-retail',
    join(folder, 'shop.csv'),
    ...where,
    ...flags,
    '--report',
    report,
  ]);
  const output = await ends(client, 0);
  for (const [name, text] of Object.entries(right)) {
    expect(readFileSync(join(report, name), 'utf8'), name).toBe(text);
  }
  return output;
}

async function emptyDatabase(): Promise<string> {
  const database = await createTestDatabase();
  cleanUp.push(() => database.drop());
  return database.url;
}

async function eventStoreDb(): Promise<EventStoreDb> {
  const server = await startEventStoreDb();
  cleanUp.push(() => server.close());
  return server;
}

const contents = (log: readonly RecordedEvent[]): object[] =>
  log.map(({ stream, revision, id, type, data: text, metadata }) => ({
    stream,
    revision,
    id,
    type,
    text,
    metadata,
  }));

async function logIn(url: string): Promise<RecordedEvent[]> {
  const store = await openPostgresEventStore({ connectionString: url, mustExist: true });
  try {
    return await follow(store, logStart, (_, batch) => batch.caughtUp);
  } finally {
    await store.close();
  }
}

/** Number of events in a database, before there is a log as well. */
async function storedIn(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ there: boolean }>(
      `select to_regclass('tallyback_log.events') is not null as there`,
    );
    if (rows[0]?.there !== true) return 0;
    const counted = await client.query<{ n: number }>('select count(*)::int as n from tallyback_log.events');
    return counted.rows[0]?.n ?? 0;
  } finally {
    await client.end();
  }
}

describe('a log moves from the embedded Postgres', () => {
  test('to another database, killed and interrupted on the way, and is served there', async () => {
    await importShop(['--standalone', '--data', data]);
    const target = await emptyDatabase();
    const copy = (): TallybackProcess => run(['copy-log', '--from', `embedded:${data}`, '--to', target]);

    for (const signal of ['SIGKILL', 'SIGINT', 'SIGKILL'] as const) {
      const before = await storedIn(target);
      const one = copy();
      while ((await storedIn(target)) < before + 250 && one.child.exitCode === null) await pause(2);
      expect(await one.end(signal)).toBe(signal === 'SIGKILL' ? -1 : 1);
      if (signal === 'SIGINT') expect(one.output()).toMatch(/Stopped\. The copy is not complete/);
    }
    const before = (await logIn(target)).length;
    expect(before).toBeGreaterThan(0);
    const refused = run(['serve', '--listen', '127.0.0.1:0'], { DATABASE_URL: target });
    expect(await ends(refused, 1)).toMatch(/a copy is under way.*run copy-log again to finish it/);

    const said = await ends(copy(), 0);
    const [, events, copied] = /complete: (\d+) events.* (\d+) of them were copied now/.exec(said) ?? [];
    expect(Number(copied)).toBe(Number(events) - before);
    expect((await logIn(target)).length).toBe(Number(events));
    expect(await ends(copy(), 1)).toMatch(/a complete copy of .* already/);

    const server = await startServer(join(folder, 'unused'), { DATABASE_URL: target });
    started.push(server);
    expect(await importShop(['--target', server.address])).toMatch(/documents +0 accepted/);
    expect(await server.end('SIGTERM')).toBe(0);
    expect((await logIn(target)).length).toBe(Number(events));
  });

  test('to EventStoreDB and back: the same read models on either side, and not an event more', async () => {
    await importShop(['--standalone', '--data', data]);
    const server = await eventStoreDb();
    const url = server.connectionString;
    const userEvents = (): number =>
      server.log.events().filter(({ stream }) => stream.startsWith('tallyback.')).length;

    await ends(run(['copy-log', '--from', 'embedded', '--to', url, '--data', data]), 0);
    const copied = userEvents();
    // The read models of the data folder follow the log.
    const output = await importShop(['--standalone', '--data', data, '--event-store', url]);
    expect(output).toMatch(/the event log has moved/);
    expect(output).toMatch(/documents +0 accepted/);
    expect(userEvents()).toBe(copied);

    const list = await ends(run(['projections', 'list', '--data', data], { TALLYBACK_EVENT_STORE: url }), 0);
    expect(list.match(/caught up/g)).toHaveLength(9);
    const rebuild = ['projections', 'rebuild', 'balance', '--data', data, '--event-store', url];
    expect(await ends(run(rebuild), 0)).toMatch(/different {2}0\n[\s\S]*balance\/2 serves/);
    // Not those of the log that was left.
    const left = await ends(run(['projections', 'list', '--data', data]), 1);
    expect(left).toMatch(/were made from the event log .* another database .* copy-log/s);

    // Another namespace is another log: nothing of ours is there.
    const nothing = run(['copy-log', '--from', url, '--to', await emptyDatabase()], {
      TALLYBACK_EVENT_STORE_NAMESPACE: 'other',
    });
    expect(await ends(nothing, 1)).toMatch(/there is no log in the namespace "other"/);

    const back = await emptyDatabase();
    await ends(run(['copy-log', '--from', url, '--to', back]), 0);
    const straight = await emptyDatabase();
    await ends(run(['copy-log', '--from', 'embedded', '--to', straight, '--data', data]), 0);
    expect(contents(await logIn(back))).toEqual(contents(await logIn(straight)));
    expect((await logIn(back)).length).toBe(copied);
  });

  test('not while a server runs on it', async () => {
    const server = await startServer(data);
    started.push(server);
    const copy = run(['copy-log', '--from', `embedded:${data}`, '--to', await emptyDatabase()]);
    expect(await ends(copy, 1)).toMatch(/another instance of Tallyback uses this data folder/);
    expect(await server.end('SIGTERM')).toBe(0);
  });
});

describe('a server on EventStoreDB', () => {
  test('says so without secrets, and serves', async () => {
    const server = await eventStoreDb();
    const url = server.connectionString.replace('esdb://', 'esdb://admin@');
    const env = { TALLYBACK_EVENT_STORE: url, TALLYBACK_EVENT_STORE_PASSWORD: 'hunter2hunter2' };
    const tallyback = await startServer(data, env);
    started.push(tallyback);
    expect(tallyback.output()).toMatch(/event log EventStoreDB at 127\.0\.0\.1:\d+, namespace tallyback/);
    await importShop(['--target', tallyback.address]);
    expect(await tallyback.end('SIGTERM')).toBe(0);
    expect(tallyback.output()).not.toContain('hunter2');
  });

  test('does not start on a copy that is not complete', async () => {
    const server = await eventStoreDb();
    const options = { connectionString: server.connectionString };
    const target = await openEventStoreDbCopy(options, 'somewhere-else');
    await target.close();
    const tallyback = run(['serve', '--data', data, '--listen', '127.0.0.1:0'], {
      TALLYBACK_EVENT_STORE: server.connectionString,
    });
    expect(await ends(tallyback, 1)).toMatch(/IncompleteCopy: a copy is under way .* from somewhere-else/);
  });

  test('ends when its read models are moved to another log under it', async () => {
    const database = await emptyDatabase();
    const tallyback = await startServer(join(folder, 'unused'), { DATABASE_URL: database });
    started.push(tallyback);
    const store = await openPostgresEventStore({ connectionString: database });
    const other = await emptyDatabase();
    const copy = await openPostgresCopy({ connectionString: other }, store.id);
    await copy.completeCopy();
    await copy.close();
    await store.close();
    // The same read models, another log: one that says that it is the copy.
    const server = await eventStoreDb();
    const eventStore = await openEventStoreDbCopy({ connectionString: server.connectionString }, store.id);
    await eventStore.completeCopy();
    await eventStore.close();
    const next = await startServer(join(folder, 'unused'), {
      DATABASE_URL: database,
      TALLYBACK_EVENT_STORE: server.connectionString,
    });
    started.push(next);
    expect(await ends(tallyback, 1)).toMatch(/follow another event log now/);
    expect(await next.end('SIGTERM')).toBe(0);
  });
});

describe('copy-log', () => {
  const refused = async (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> =>
    ends(run(['copy-log', ...args], env), 2);

  test('says what is wrong with its flags, all at once and without secrets', async () => {
    expect(await refused(['--from', 'embedded'])).toContain('needs --from STORE and --to STORE');
    expect(await refused(['--from', 'embedded', '--to', `embedded:${data}`, '--data', data])).toContain(
      'the same log',
    );
    const secret = 'hunter2hunter2';
    const said = await refused(
      ['--from', `mysql://u:${secret}@host/db`, '--to', `esdb://u:${secret}@host:99999?nonsense=1`],
      { TALLYBACK_EVENT_STORE_NAMESPACE: 'a-b', TALLYBACK_NONSENSE: '1' },
    );
    expect(said).toContain('--from takes esdb://…, postgres://…, embedded or embedded:DIR');
    expect(said).toContain('host 1 of the event store');
    expect(said).toContain('TALLYBACK_EVENT_STORE_NAMESPACE');
    expect(said).toContain('TALLYBACK_NONSENSE is not a setting');
    expect(said).not.toContain(secret);
  });

  test('makes no log where it is to copy from', async () => {
    const target = await emptyDatabase();
    const nowhere = run(['copy-log', '--from', `embedded:${join(folder, 'nowhere')}`, '--to', target]);
    expect(await ends(nowhere, 1)).toMatch(/is not a data folder of Tallyback/);
    expect(existsSync(join(folder, 'nowhere'))).toBe(false);
    const empty = run(['copy-log', '--from', await emptyDatabase(), '--to', target]);
    expect(await ends(empty, 1)).toMatch(/There is no event log in that database/);
  });
});
