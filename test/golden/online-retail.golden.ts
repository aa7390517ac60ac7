/** A year of a real shop's trading must give exactly the right figures, whatever happens on the way. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { chance } from '../support/chance.ts';
import { startServer, startTallyback, type TallybackProcess } from '../support/tallyback-process.ts';
import { servedStores } from '../support/served-stores.ts';
import type { Rules } from './oracle.ts';
import { file, golden, slice, sliceRows, there } from './real-year.ts';
import { repeatingProxy } from './repeating-proxy.ts';

if (!there) console.log('left out: the real year is not beside this checkout (../shared)');

const published: Rules = { bps: 500n, holdDays: 30, withdrawMonthly: 1_000n };

let folder: string;
const started: TallybackProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tallyback-golden-'));
});

afterEach(async () => {
  for (const one of started.splice(0)) {
    if (one.child.exitCode === null && one.child.signalCode === null) await one.end('SIGKILL');
  }
  rmSync(folder, { recursive: true, force: true });
});

async function serve(env: NodeJS.ProcessEnv = {}): Promise<Awaited<ReturnType<typeof startServer>>> {
  const server = await startServer(join(folder, 'data'), env);
  started.push(server);
  return server;
}

function importInto(address: string, report: string, csv = file, rules = published): TallybackProcess {
  const args = ['import', 'online-retail', csv, '--target', address, '--report', join(folder, report)];
  args.push('--rebate-bps', `${rules.bps}`, '--hold-days', `${rules.holdDays}`);
  if (rules.withdrawMonthly !== undefined) args.push('--withdraw-monthly', `${rules.withdrawMonthly}`);
  const client = startTallyback(args);
  started.push(client);
  return client;
}

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

const reported = (report: string, name: string): string => readFileSync(join(folder, report, name), 'utf8');

function expectGolden(report: string): void {
  const names = readdirSync(golden).filter((name) => name.endsWith('.csv'));
  expect(names.toSorted()).toEqual(['balances.csv', 'days.csv', 'hours.csv', 'stock.csv']);
  for (const name of names) {
    const same = reported(report, name) === readFileSync(join(golden, name), 'utf8');
    expect(same, `${name} equals the golden file`).toBe(true);
  }
}

function expectRight(report: string, right: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(right)) {
    expect(reported(report, name) === text, `${name} equals the oracle's`).toBe(true);
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
    const accepted = [...second.output().matchAll(/ (\S+) accepted/g)].map(([, count]) => count);
    expect(accepted).toEqual(['0', '0', '0', '0']);
    expectGolden('second');
    expect(await server.end('SIGTERM')).toBe(0);
  });

  test(`${sliceRows} rows, client and server killed on the way, run again: what the oracle says`, async () => {
    // Which process is killed, and after how long. (The whole year with kills: instances.golden.ts.)
    const kills = [
      { victim: 'server', afterMs: 5_000 },
      { victim: 'client', afterMs: 7_000 },
      { victim: 'both', afterMs: 9_000 },
    ] as const;
    const { csv, right } = slice(folder, published);
    for (const { victim, afterMs } of kills) {
      const server = await serve();
      const client = importInto(server.address, 'killed', csv);
      await pause(afterMs);
      // A client that has lost its server waits for it; what it is then told is to stop.
      if (victim !== 'client') await server.end('SIGKILL');
      await client.end(victim === 'server' ? 'SIGTERM' : 'SIGKILL');
      if (victim === 'client') await server.end('SIGKILL');
    }
    const server = await serve();
    const last = importInto(server.address, 'last', csv);
    expect(await last.exited, last.output()).toBe(0);
    expectRight('last', right);
    expect(await server.end('SIGTERM')).toBe(0);
  });

  test('under other rules: what the oracle says', async () => {
    const rules: Rules = { bps: 733n, holdDays: 9, withdrawMonthly: 2_500n };
    const { csv, right } = slice(folder, rules);
    const server = await serve();
    const client = importInto(server.address, 'report', csv, rules);
    expect(await client.exited, client.output()).toBe(0);
    expectRight('report', right);
    expect(await server.end('SIGTERM')).toBe(0);
  });

  test.each(servedStores.filter(({ name }) => name !== 'the embedded log'))(
    `${sliceRows} rows on $name, killed and cut off: what the oracle says`,
    async ({ start }) => {
      const store = await start();
      try {
        const { csv, right } = slice(folder, published);
        const first = await serve(store.env);
        const killed = importInto(first.address, 'killed', csv);
        await pause(8_000);
        store.cut();
        await pause(4_000);
        await first.end('SIGKILL');
        await killed.end('SIGTERM');
        const server = await serve(store.env);
        const client = importInto(server.address, 'report', csv);
        expect(await client.exited, client.output()).toBe(0);
        console.log(client.output().trimEnd());
        expectRight('report', right);
        expect(await server.end('SIGTERM')).toBe(0);
      } finally {
        await store.stop();
      }
    },
  );

  test(`${sliceRows} rows, every report sent twice, the repeat late: what the oracle says`, async () => {
    const { csv, right } = slice(folder, published);
    const server = await serve();
    const proxy = await repeatingProxy(server.address, chance(7));
    const client = importInto(proxy.address, 'report', csv);
    expect(await client.exited, client.output()).toBe(0);
    console.log(`${proxy.repeats()} reports were repeated`);
    expect(proxy.repeats()).toBeGreaterThan(sliceRows / 25);
    expectRight('report', right);
    proxy.stop();
    expect(await server.end('SIGTERM')).toBe(0);
  });
});
