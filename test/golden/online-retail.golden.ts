/** A year of a real shop's trading must give exactly the published figures, whatever happens on the way. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startServer, startTallyback, type TallybackProcess } from '../support/tallyback-process.ts';

const shared = join(import.meta.dirname, '../../../shared');
const file = join(shared, 'data/online-retail/onlineretail.csv.br');
const golden = join(shared, 'golden/online-retail-500bps-30d');
const there = existsSync(file) && existsSync(golden);
if (!there) console.log('left out: the real year is not beside this checkout (../shared)');

let folder: string;
const started: TallybackProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tallyback-golden-'));
});

afterEach(async () => {
  for (const one of started.splice(0)) if (one.child.exitCode === null) await one.end('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

async function serve(): Promise<Awaited<ReturnType<typeof startServer>>> {
  const server = await startServer(join(folder, 'data'));
  started.push(server);
  return server;
}

function importInto(address: string, report: string): TallybackProcess {
  const flags = ['--rebate-bps', '500', '--hold-days', '30', '--withdraw-monthly', '1000'];
  const client = startTallyback([
    'import',
    'online-retail',
    file,
    '--target',
    address,
    ...flags,
    '--report',
    join(folder, report),
  ]);
  started.push(client);
  return client;
}

function expectGolden(report: string): void {
  const files = readdirSync(golden).filter((name) => name.endsWith('.csv'));
  expect(files.toSorted()).toEqual(['balances.csv', 'days.csv', 'hours.csv', 'stock.csv']);
  for (const name of files) {
    const same = readFileSync(join(folder, report, name)).equals(readFileSync(join(golden, name)));
    expect(same, `${name} equals the golden file`).toBe(true);
  }
}

describe.runIf(there)('the real year', () => {
  test('imported once and once more: the golden figures, and the second time not one event', async () => {
    const server = await serve();
    const first = importInto(server.address, 'first');
    expect(await first.exited, first.output()).toBe(0);
    console.log(first.output().trimEnd());
    expectGolden('first');

    const second = importInto(server.address, 'second');
    expect(await second.exited, second.output()).toBe(0);
    console.log(second.output().trimEnd());
    const accepted = [...second.output().matchAll(/ (\S+) accepted/g)].map(([, count]) => count);
    expect(accepted).toEqual(['0', '0', '0', '0']);
    expectGolden('second');
    expect(await server.end('SIGTERM')).toBe(0);
  });

  test('client and server killed on the way: run again, the golden figures', async () => {
    // Which process is killed, and after how long; together they reach well into the year.
    const kills = [
      { victim: 'server', afterMs: 9_000 },
      { victim: 'client', afterMs: 14_000 },
      { victim: 'both', afterMs: 21_000 },
    ] as const;
    for (const { victim, afterMs } of kills) {
      const server = await serve();
      const client = importInto(server.address, 'killed');
      await new Promise((resolve) => {
        setTimeout(resolve, afterMs);
      });
      if (victim !== 'client') await server.end('SIGKILL');
      if (victim !== 'server') await client.end('SIGKILL');
      else await client.end('SIGTERM');
      if (victim === 'client') await server.end('SIGKILL');
    }
    const server = await serve();
    const last = importInto(server.address, 'last');
    expect(await last.exited, last.output()).toBe(0);
    expectGolden('last');
    expect(await server.end('SIGTERM')).toBe(0);
  });
});
