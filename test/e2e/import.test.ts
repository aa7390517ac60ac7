/** The importer as its users run it, on a small made-up year, while the ground gives way. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { figures, type Rules } from '../golden/oracle.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { servedFixture } from '../support/served-stores.ts';
import { shopFile, shopRows } from '../support/shop-file.ts';
import { startServer, startTallyback, type TallybackProcess } from '../support/tallyback-process.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const rules: Rules = { bps: 750n, holdDays: 14, withdrawMonthly: 300n };
const rows = shopRows(900, 11);
const right = figures(rows, rules);

let folder: string;
let csv: string;
const started: TallybackProcess[] = [];
const cleanUp: (() => Promise<void> | void)[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tallyback-import-'));
  csv = join(folder, 'shop.csv');
  writeFileSync(csv, shopFile(rows));
});

afterEach(async () => {
  for (const one of started.splice(0)) {
    if (one.child.exitCode === null && one.child.signalCode === null) await one.end('SIGKILL');
  }
  for (const undo of cleanUp.splice(0).toReversed()) await undo();
  rmSync(folder, { recursive: true, force: true });
});

function run(...args: readonly string[]): TallybackProcess {
  const one = startTallyback(args);
  started.push(one);
  return one;
}

const flags = ['--rebate-bps', '750', '--hold-days', '14', '--withdraw-monthly', '300'];

const importInto = (address: string): TallybackProcess =>
  run('import', 'online-retail', csv, '--target', address, ...flags, '--report', join(folder, 'report'));

function expectRight(): void {
  for (const [name, text] of Object.entries(right)) {
    expect(readFileSync(join(folder, 'report', name), 'utf8'), name).toBe(text);
  }
}

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

describe('an import', () => {
  test('needs no server of its own', async () => {
    const args = [
      '--standalone',
      '--data',
      join(folder, 'data'),
      ...flags,
      '--report',
      join(folder, 'report'),
    ];
    const client = run('import', 'online-retail', csv, ...args);
    expect(await client.exited, client.output()).toBe(0);
    expectRight();
  });

  test('outlives a database that is cut off several times, and ends right', async () => {
    const database = await createTestDatabase();
    cleanUp.push(() => database.drop());
    const proxy = await TcpProxy.before(database.url);
    cleanUp.push(() => proxy.close());
    const server = await startServer(join(folder, 'unused'), { DATABASE_URL: proxy.urlFor(database.url) });
    started.push(server);
    const client = importInto(server.address);
    for (let round = 0; round < 4; round++) {
      await pause(700);
      proxy.frozen = round % 2 === 0;
      await pause(500);
      proxy.cutAll();
      proxy.frozen = false;
    }
    expect(await client.exited, client.output()).toBe(0);
    expectRight();
    expect(await server.end('SIGTERM')).toBe(0);
  });

  test('outlives a cluster of EventStoreDB that is cut off several times, and ends right', async () => {
    const cluster = await servedFixture.start();
    cleanUp.push(() => cluster.stop());
    const server = await startServer(join(folder, 'data'), cluster.env);
    started.push(server);
    const client = importInto(server.address);
    for (let round = 0; round < 6; round++) {
      await pause(600);
      cluster.cut();
    }
    expect(await client.exited, client.output()).toBe(0);
    expectRight();
    expect(await server.end('SIGTERM')).toBe(0);
  });

  test('on a full disk says so and takes nothing by halves; with room again it goes on', async () => {
    const disk = join(folder, 'disk');
    mkdirSync(disk);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=180m,mode=0755', 'tmpfs', disk], { stdio: 'pipe' });
    } catch {
      console.log('left out: a disk of its own needs root');
      return;
    }
    cleanUp.push(() => void execFileSync('umount', ['-l', disk]));
    const data = join(disk, 'data');
    const first = await startServer(data);
    started.push(first);
    const room = statfsSync(disk);
    writeFileSync(join(disk, 'filler'), Buffer.alloc(Math.max(0, room.bavail * room.bsize - 512 * 1024)));
    const failing = importInto(first.address);
    await pause(6_000);
    const said = `${first.output()}${failing.output()}`;
    expect(said).toMatch(/No space left on device|Postgres stopped unexpectedly|store does not answer/);
    await failing.end('SIGTERM');
    await first.end('SIGTERM');

    rmSync(join(disk, 'filler'));
    const second = await startServer(data);
    started.push(second);
    const client = importInto(second.address);
    expect(await client.exited, client.output()).toBe(0);
    expectRight();
    expect(await second.end('SIGTERM')).toBe(0);
  });

  test('under other rules than before is stopped, and changes nothing', async () => {
    const server = await startServer(join(folder, 'data'));
    started.push(server);
    expect(await importInto(server.address).exited).toBe(0);
    const other = ['--rebate-bps', '500', '--hold-days', '14'];
    const client = run('import', 'online-retail', csv, '--target', server.address, ...other);
    expect(await client.exited).toBe(1);
    expect(client.output()).toMatch(/Stopped: /);
    expect(await importInto(server.address).exited).toBe(0);
    expectRight();
  });
});
