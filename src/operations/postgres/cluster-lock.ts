/**
 * One server per cluster. Postgres guards that itself (postmaster.pid, shared memory); what is added here is telling
 * a stale guard from a live one, patience with an orphan that its watchdog is stopping, and an error people can read.
 */
import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { findLivePostmaster } from './live-postmaster.ts';
import { postmasterFile, readPostmasterFile } from './postmaster-file.ts';
import { PostgresStartError } from './types.ts';

/** How long an orphan gets to go. Its shutdown takes milliseconds, unless it has much to write. */
export const orphanPatienceMs = 4000;

/** A live writer fills the file it made at once. */
const emptyFilePatienceMs = 1000;

/**
 * Waits until nobody runs on the cluster. Returns the pid in a stale postmaster.pid, if there is one: Postgres has to
 * be told not to mind it.
 */
export async function waitUntilFree(cluster: string, deadline: number): Promise<number | undefined> {
  const emptyUntil = Date.now() + emptyFilePatienceMs;
  for (;;) {
    const file = await readPostmasterFile(cluster);
    if (file === undefined) return undefined;
    if (file === 'empty') {
      if (Date.now() > emptyUntil) await rm(postmasterFile(cluster), { force: true });
    } else {
      const live = await findLivePostmaster(file.pid, cluster);
      if (!live) return file.pid;
      // Our own child is no orphan.
      if (live.parentPid === process.pid || Date.now() > deadline) {
        throw alreadyRunning(cluster, live.pid);
      }
    }
    await delay(50);
  }
}

function alreadyRunning(cluster: string, pid: number): PostgresStartError {
  return new PostgresStartError(
    'ALREADY_RUNNING',
    `Process ${pid} already runs Postgres on ${cluster}: another instance of Tallyback uses this data folder. ` +
      'Stop it, or give this one a folder of its own.',
  );
}

/** The error for what Postgres sees and we do not. */
export function stillInUse(cluster: string): PostgresStartError {
  return new PostgresStartError(
    'ALREADY_RUNNING',
    `${cluster} is in use, by another instance of Tallyback or by processes that a killed server left. ` +
      'End them, or give this instance a folder of its own.',
  );
}
