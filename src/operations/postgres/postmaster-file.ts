/** postmaster.pid: how a running Postgres says who it is, and when it is ready. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from './errors.ts';

export interface PostmasterFile {
  readonly pid: number;
  /** TCP port; 0 while it is not known yet. */
  readonly port: number;
  /** Accepts connections. */
  readonly ready: boolean;
}

export const postmasterFile = (cluster: string): string => join(cluster, 'postmaster.pid');

/** 'empty' is a file about to be written, or one that a power cut left. */
export async function readPostmasterFile(cluster: string): Promise<PostmasterFile | 'empty' | undefined> {
  let lines: string[];
  try {
    lines = (await readFile(postmasterFile(cluster), 'utf8')).split('\n');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  // Single-user Postgres writes its pid as a negative number.
  const pid = Math.abs(Number.parseInt(lines[0] ?? '', 10));
  if (!Number.isSafeInteger(pid) || pid === 0) return 'empty';
  return { pid, port: Number.parseInt(lines[3] ?? '', 10) || 0, ready: lines[7]?.trim() === 'ready' };
}
