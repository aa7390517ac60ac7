/**
 * The real year with several instances on one Postgres: two at first, a third joins, two are killed on the way, the
 * client too. Every projection and policy is led by one of them at a time, and the figures are the golden ones.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';
import { startServer, startTallyback, type TallybackProcess } from '../support/tallyback-process.ts';
import { file, golden, there } from './real-year.ts';

let folder: string;
let postgres: TestPostgres;
const started: TallybackProcess[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tallyback-golden-'));
  postgres = await startTestPostgres({ durable: true });
});

afterEach(async () => {
  for (const one of started.splice(0)) {
    if (one.child.exitCode === null && one.child.signalCode === null) await one.end('SIGKILL');
  }
  await postgres.stop();
  rmSync(folder, { recursive: true, force: true });
});

type Server = Awaited<ReturnType<typeof startServer>>;

async function joinIn(): Promise<Server> {
  const server = await startServer(join(folder, 'unused'), { DATABASE_URL: postgres.url });
  started.push(server);
  return server;
}

function importInto({ address }: Server): TallybackProcess {
  const args = ['import', 'online-retail', file, '--target', address, '--report', join(folder, 'report')];
  args.push('--rebate-bps', '500', '--hold-days', '30', '--withdraw-monthly', '1000');
  const client = startTallyback(args);
  started.push(client);
  return client;
}

/** How many projections and policies each instance leads; instances that live only. */
async function led(): Promise<Record<string, number>> {
  const client = new pg.Client(postgres.url);
  await client.connect();
  try {
    const { rows } = await client.query<{ owner: string; count: string }>(
      `select c.owner, count(*) from tallyback.checkpoint c join tallyback.instance i on i.id = c.owner
       where i.live_until > now() group by 1`,
    );
    return Object.fromEntries(rows.map(({ owner, count }) => [owner.split('/')[1], Number(count)]));
  } finally {
    await client.end();
  }
}

/** How many there are to lead: read models, policies, the audit. */
async function all(): Promise<number> {
  const client = new pg.Client(postgres.url);
  await client.connect();
  try {
    const { rows } = await client.query<{ n: number }>('select count(*)::int as n from tallyback.checkpoint');
    return rows[0]?.n ?? NaN;
  } finally {
    await client.end();
  }
}

const shareOf = async ({ child }: Server): Promise<number> => (await led())[`${child.pid}`] ?? 0;

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await pause(200);
}

describe.runIf(there)('the real year on several instances', () => {
  test('two, a third that joins, two killed, the client too: the golden figures', async () => {
    const first = await joinIn();
    const second = await joinIn();
    await until(async () => (await shareOf(first)) >= 4 && (await shareOf(second)) >= 4);
    const client = importInto(first);
    await pause(10_000);
    const third = await joinIn();
    await until(async () => (await shareOf(third)) >= 3);
    await pause(5_000);
    await second.end('SIGKILL');
    await until(async () => (await shareOf(first)) + (await shareOf(third)) === (await all()));
    await pause(10_000);
    // The one that the client talks to, and the client with it.
    await first.end('SIGKILL');
    await client.end('SIGKILL');
    const last = importInto(third);
    await until(async () => (await shareOf(third)) === (await all()));
    await pause(5_000);
    const fourth = await joinIn();
    expect(await last.exited, last.output()).toBe(0);
    console.log(last.output().trimEnd());
    for (const name of ['balances.csv', 'days.csv', 'hours.csv', 'stock.csv']) {
      const same =
        readFileSync(join(folder, 'report', name), 'utf8') === readFileSync(join(golden, name), 'utf8');
      expect(same, `${name} equals the golden file`).toBe(true);
    }
    expect(await fourth.end('SIGTERM')).toBe(0);
    expect(await third.end('SIGTERM')).toBe(0);
  });
});
