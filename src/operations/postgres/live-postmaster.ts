/**
 * Is the process that postmaster.pid names a Postgres on this cluster? Pids are used again, in containers at once:
 * the file may name our own process, a stranger or a zombie, and Postgres itself would refuse to start on that.
 */
import { basename } from 'node:path';
import { neutralFolder, runCommand } from './commands.ts';
import { readProcess, worksIn } from './linux-process.ts';

export interface LivePostmaster {
  readonly pid: number;
  readonly parentPid: number;
}

/** The postmaster, if it lives. When in doubt it does: a second one on the same data must never start. */
export async function findLivePostmaster(pid: number, cluster: string): Promise<LivePostmaster | undefined> {
  if (process.platform === 'win32') return undefined; // Postgres itself looks closer there
  if (process.platform !== 'linux') return findWithPs(pid);

  const facts = await readProcess(pid);
  if (!facts) return canBeSignalled(pid) ? { pid, parentPid: 0 } : undefined;
  if (facts.name !== 'postgres' || facts.ended) return undefined;
  // A postmaster works in its cluster.
  return (await worksIn(pid, cluster)) === false ? undefined : { pid, parentPid: facts.parentPid };
}

/** There, though /proc does not show it. */
function canBeSignalled(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** macOS and other systems without /proc. Untested. */
async function findWithPs(pid: number): Promise<LivePostmaster | undefined> {
  const account = { credentials: {}, switched: false, name: '' };
  const args = ['-o', 'state=,ppid=,comm=', '-p', String(pid)];
  const result = await runCommand('ps', args, { account, cwd: neutralFolder, timeoutMs: 5000 });
  const [, state, parent, command] =
    /^\s*(\S+)\s+(\d+)\s+(.+?)\s*$/m.exec(result.ok ? result.output : '') ?? [];
  if (command === undefined || basename(command) !== 'postgres' || state?.startsWith('Z')) return undefined;
  return { pid, parentPid: Number(parent) };
}
