/** The processes a scenario talks to: a server of ours, or one that only echoes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Role } from '../src/operations/configuration.ts';
import type { Usage } from './probe.ts';

export interface Served {
  readonly address: string;
  /** What it has used; `collect`: after it has collected its garbage. */
  usage(options?: { readonly collect: boolean }): Promise<Usage>;
  stop(): Promise<void>;
}

const here = import.meta.dirname;
/** Where CPU profiles of the processes go; none are made if it is not set. */
const profiles = process.env['BENCH_PROFILES'];
const probe = pathToFileURL(join(here, 'probe.js')).href;

async function served(
  script: string,
  args: readonly string[],
  says: RegExp,
  env: Readonly<Record<string, string>> = {},
): Promise<Served> {
  const profiling = profiles === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profiles}`];
  const flags = [
    ...profiling,
    '--min-semi-space-size=64',
    '--max-semi-space-size=64',
    '--no-allocation-site-pretenuring',
    '--expose-gc',
    `--import=${probe}`,
  ];
  const child: ChildProcess = spawn(process.execPath, [...flags, script, ...args], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    env: { ...process.env, ...env },
  });
  let said = '';
  let address: string | undefined;
  while (address === undefined) {
    const [chunk] = (await Promise.race([
      once(child.stdout ?? child, 'data'),
      once(child, 'exit').then(() => Promise.reject(new Error(`${script} ended: ${said}`))),
    ])) as [Buffer];
    said += chunk.toString();
    address = says.exec(said)?.[1];
  }
  child.stdout?.resume();
  return {
    address,
    async usage({ collect } = { collect: false }) {
      const answer = once(child, 'message');
      child.send(collect ? 'collect' : 'tell');
      const [usage] = (await answer) as [Usage];
      return usage;
    },
    async stop() {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    },
  };
}

const serves = /serves gRPC on (\S+)/;
const cli = join(here, '../src/main/cli.js');

/** `tallyback serve` on a fresh data folder. */
export async function tallyback(): Promise<Served> {
  const data = await mkdtemp(join(tmpdir(), 'tallyback-bench-'));
  const server = await served(cli, ['serve', '--data', data, '--listen', '127.0.0.1:0'], serves);
  return {
    ...server,
    async stop() {
      await server.stop();
      await rm(data, { recursive: true, force: true });
    },
  };
}

/** `tallyback serve` on a Postgres that others use, too. */
export const tallybackOn = (databaseUrl: string, roles: readonly Role[]): Promise<Served> =>
  served(cli, ['serve', '--listen', '127.0.0.1:0', '--roles', roles.join(',')], serves, {
    DATABASE_URL: databaseUrl,
  });

/** grpc-js answering commands with an empty receipt, and watches with what they change: the limit of the transport. */
export const echo = (): Promise<Served> => served(join(here, 'echo-server.js'), [], /echo on (\S+)/);

/** One that sends to so many who watch as fast as it can; it says itself in which ways. */
export const fanOut = (way: 'watch' | 'beat' | 'flood', watchers: number): Promise<Served> =>
  served(join(here, 'watches/fan-out-server.js'), [way, String(watchers)], /fan-out on (\S+)/);

/** The EventStoreDB protocol fixture; the address is a connection string. */
export const eventStoreDb = (): Promise<Served> =>
  served(join(here, 'eventstoredb-server.js'), [], /eventstoredb on (\S+)/);
