/**
 * The log of a real shop moves from the embedded Postgres to EventStoreDB and back: the right figures on either side, and
 * the same events. On the server that TALLYBACK_TEST_ESDB_URL names, else on the protocol fixture; `GOLDEN_COPY_ROWS`
 * says how many rows of the year (60,000).
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fixtures, realServers } from '../support/eventstoredb-servers.ts';
import { startTallyback, type TallybackProcess } from '../support/tallyback-process.ts';
import { slice, there } from './real-year.ts';

if (!there) console.log('left out: the real year is not beside this checkout (../shared)');

const rows = Number(process.env['GOLDEN_COPY_ROWS'] ?? 60_000);

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

async function run(args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  const one = startTallyback(args, env);
  started.push(one);
  expect(await one.exited, one.output()).toBe(0);
  console.log(one.output().trimEnd().split('\n').slice(-6).join('\n'));
  return one.output();
}

/** Imports the rows, or finds that they are there, and reads everything back. */
async function importRows(where: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  const report = join(folder, 'report');
  rmSync(report, { recursive: true, force: true });
  const rules = ['--rebate-bps', '500', '--hold-days', '30', '--withdraw-monthly', '1000'];
  const { csv, right } = slice(folder, { bps: 500n, holdDays: 30, withdrawMonthly: 1_000n }, rows);
  const args = ['import', 'online-retail', csv, '--standalone', ...where, ...rules, '--report', report];
  const output = await run(args, env);
  for (const [name, text] of Object.entries(right)) {
    expect(readFileSync(join(report, name), 'utf8') === text, `${name} equals the oracle's`).toBe(true);
  }
  return output;
}

const events = (said: string): string | undefined => /complete: (\d+) events/.exec(said)?.[1];

describe.runIf(there)('the log of the real year', () => {
  test(
    'moves to EventStoreDB and back: equal read models everywhere',
    async () => {
      const [kind] = [...realServers, ...fixtures];
      const server = await kind?.start();
      if (!server) throw new Error('there is no server to copy to');
      const env = { TALLYBACK_EVENT_STORE_NAMESPACE: `test_${randomUUID().replaceAll('-', '')}` };
      const [data, back] = [join(folder, 'data'), join(folder, 'back')];
      try {
        await importRows(['--data', data], env);
        const url = server.connectionString;
        const there = events(await run(['copy-log', '--from', `embedded:${data}`, '--to', url], env));
        const moved = await importRows(['--data', data, '--event-store', url], env);
        expect(moved).toContain('the event log has moved');
        expect(moved).not.toMatch(/ [1-9]\S* accepted/);
        const again = events(await run(['copy-log', '--from', url, '--to', `embedded:${back}`], env));
        expect(again).toBe(there);
        expect(await importRows(['--data', back], env)).not.toMatch(/ [1-9]\S* accepted/);
      } finally {
        await server.stop();
      }
    },
    90 * 60_000,
  );
});
