/** The processes a scenario talks to: a server of ours, or one that only echoes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Served {
  readonly address: string;
  stop(): Promise<void>;
}

const here = import.meta.dirname;

async function served(script: string, args: readonly string[], says: RegExp): Promise<Served> {
  const child: ChildProcess = spawn(
    process.execPath,
    ['--min-semi-space-size=64', '--max-semi-space-size=64', script, ...args],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
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
    async stop() {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** `tallyback serve` on a fresh data folder. */
export async function tallyback(): Promise<Served> {
  const data = await mkdtemp(join(tmpdir(), 'tallyback-bench-'));
  const args = ['serve', '--data', data, '--listen', '127.0.0.1:0'];
  const server = await served(join(here, '../src/main/cli.js'), args, /serves gRPC on (\S+)/);
  return {
    address: server.address,
    async stop() {
      await server.stop();
      await rm(data, { recursive: true, force: true });
    },
  };
}

/** grpc-js answering TrackOrder with an empty receipt, and nothing else: the limit of the transport. */
export const echo = (): Promise<Served> => served(join(here, 'echo-server.js'), [], /echo on (\S+)/);

/** The EventStoreDB protocol fixture; the address is a connection string. */
export const eventStoreDb = (): Promise<Served> =>
  served(join(here, 'eventstoredb-server.js'), [], /eventstoredb on (\S+)/);
