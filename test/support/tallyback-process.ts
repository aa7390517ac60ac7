/** Real `tallyback` processes for tests: started from the build, ended by pid, nothing left behind. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** The server as `npm run build` makes it. */
export const builtCli = join(import.meta.dirname, '../../dist/main/cli.js');

/** Only what a fresh shell has: no setting of the machine reaches the process. */
const cleanEnvironment = (): NodeJS.ProcessEnv => ({
  PATH: process.env['PATH'],
  HOME: process.env['HOME'],
  TMPDIR: process.env['TMPDIR'],
});

export interface TallybackProcess {
  readonly child: ChildProcess;
  /** What it has written to standard output and error so far. */
  output(): string;
  /** Exit code, or −1 when a signal ended it. */
  readonly exited: Promise<number>;
  /** Sends a signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<number>;
}

export function startTallyback(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  cli: string = builtCli,
): TallybackProcess {
  const child = spawn(
    process.execPath,
    [
      '--min-semi-space-size=64',
      '--max-semi-space-size=64',
      '--no-allocation-site-pretenuring',
      cli,
      ...args,
    ],
    {
      env: { ...cleanEnvironment(), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exited = once(child, 'close').then(([code]) => (typeof code === 'number' ? code : -1));
  return {
    child,
    output: () => output,
    exited,
    end: async (signal) => {
      child.kill(signal);
      return exited;
    },
  };
}

/** The address at which a starting server serves, once it does. */
export async function addressOf(server: TallybackProcess): Promise<string> {
  for (;;) {
    const address = /serves gRPC on (\S+)/.exec(server.output())?.[1];
    if (address !== undefined) return address;
    const waited = await Promise.race([
      server.exited.then((code) => ({ code })),
      once(server.child.stdout ?? server.child, 'data'),
    ]);
    if ('code' in waited) throw new Error(`the server ended with ${waited.code}:\n${server.output()}`);
  }
}

/** A server on a free port; resolves once it serves. */
export async function startServer(
  dataDir: string,
  env: NodeJS.ProcessEnv = {},
): Promise<TallybackProcess & { readonly address: string }> {
  const server = startTallyback(['serve', '--data', dataDir, '--listen', '127.0.0.1:0'], env);
  return { ...server, address: await addressOf(server) };
}
