/**
 * The real year's log moves from the embedded Postgres to EventStoreDB and back: the golden figures on either side, and
 * the same events. On the server that TALLYBACK_TEST_ESDB_URL names, else on the protocol fixture.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fixtures, realServers } from '../support/eventstoredb-servers.ts';
import { startTallyback, type TallybackProcess } from '../support/tallyback-process.ts';
import { file, golden, there } from './real-year.ts';

if (!there) console.log('left out: the real year is not beside this checkout (../shared)');

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

/** Imports the year, or finds that it is there, and reads everything back. */
async function importYear(where: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  const report = join(folder, 'report');
  rmSync(report, { recursive: true, force: true });
  const rules = ['--rebate-bps', '500', '--hold-days', '30', '--withdraw-monthly', '1000'];
  const args = ['import', 'online-retail', file, '--standalone', ...where, ...rules, '--report', report];
  const output = await run(args, env);
  for (const name of readdirSync(golden).filter((one) => one.endsWith('.csv'))) {
    const same = readFileSync(join(report, name), 'utf8') === readFileSync(join(golden, name), 'utf8');
    expect(same, `${name} equals the golden file`).toBe(true);
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
        await importYear(['--data', data], env);
        const url = server.connectionString;
        const there = events(await run(['copy-log', '--from', `embedded:${data}`, '--to', url], env));
        const moved = await importYear(['--data', data, '--event-store', url], env);
        expect(moved).toContain('the event log has moved');
        expect(moved).not.toMatch(/ [1-9]\S* accepted/);
        const again = events(await run(['copy-log', '--from', url, '--to', `embedded:${back}`], env));
        expect(again).toBe(there);
        expect(await importYear(['--data', back], env)).not.toMatch(/ [1-9]\S* accepted/);
      } finally {
        await server.stop();
      }
    },
    90 * 60_000,
  );
});
