/**
 * Stops Postgres when this process dies without being able to (SIGKILL, out of memory): a shell that reads a pipe
 * whose only writer is us. The kernel closes the pipe whatever we die of, and the shell sees its end.
 *
 * There is none on Windows (no sh, no signals; a job object would do it): a killed Tallyback leaves Postgres behind
 * there, and the next start says so. Untested.
 */
import { spawn } from 'node:child_process';
import type { Account } from './account.ts';
import { childEnvironment, neutralFolder } from './commands.ts';

export interface Watchdog {
  /** Names the server to stop. */
  guard(pid: number): void;
  /** The server has ended; its pid may be somebody else's from now on. */
  dismiss(): void;
}

/**
 * Lines: the pid, then perhaps a word of dismissal. An end of the pipe instead means that we are gone: fast shutdown,
 * and an immediate one if that takes too long. Signals meant for us must not end it first.
 */
const script = `
trap '' HUP INT TERM
read -r pid || exit 0
read -r dismissed && exit 0
kill -INT "$pid" || exit 0
for second in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
  sleep 1
  kill -0 "$pid" || exit 0
done
kill -QUIT "$pid"
`;

export function startWatchdog(account: Account, log: (line: string) => void): Watchdog {
  if (process.platform === 'win32') return { guard: () => undefined, dismiss: () => undefined };

  const shell = spawn('/bin/sh', ['-c', script], {
    ...account.credentials,
    cwd: neutralFolder,
    env: childEnvironment(),
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true, // not in our process group, whose end may be what it has to survive
  });
  shell.on('error', (error) =>
    log(`No watchdog, Postgres will outlive a killed Tallyback: ${error.message}`),
  );
  shell.stdin.on('error', () => undefined); // it died first; nothing to be done
  shell.unref();
  return {
    guard: (pid) => void shell.stdin.write(`${pid}\n`),
    dismiss: () => void shell.stdin.end('dismissed\n'),
  };
}
