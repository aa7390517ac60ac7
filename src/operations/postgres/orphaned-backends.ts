/**
 * Postgres processes whose postmaster was killed. The idle ones go by themselves; one that computes does not notice
 * before its query ends, and holds the shared memory that keeps a new server from starting. They have nothing to
 * save: what was committed is in the log on disk.
 */
import { readFile, readdir } from 'node:fs/promises';
import { readProcess, worksIn } from './linux-process.ts';

/** Ends those of this cluster. Linux only: elsewhere they cannot be told apart for sure. */
export async function endOrphanedBackends(cluster: string): Promise<void> {
  if (process.platform !== 'linux') return;
  const pids = (await readdir('/proc')).map(Number).filter((pid) => Number.isInteger(pid));
  for (const pid of pids) {
    if (!(await isOrphanedBackend(pid, cluster))) continue;
    try {
      process.kill(pid, 'SIGQUIT');
    } catch {
      // gone meanwhile, or not ours to end; then the start says that the cluster is in use
    }
  }
}

async function isOrphanedBackend(pid: number, cluster: string): Promise<boolean> {
  const facts = await readProcess(pid);
  if (facts?.name !== 'postgres' || (await worksIn(pid, cluster)) !== true) return false;
  // A postmaster keeps its command line; the processes it forks write a title, "postgres: checkpointer".
  const title = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  if (!title.startsWith('postgres: ')) return false;
  const parent = await readProcess(facts.parentPid);
  return parent?.name !== 'postgres' || parent.ended;
}
