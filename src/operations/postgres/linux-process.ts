/** What Linux tells about a process, in /proc. */
import { readFile, stat } from 'node:fs/promises';

export interface ProcessFacts {
  readonly name: string;
  readonly parentPid: number;
  /** A zombie has ended, and only waits for its parent to notice. */
  readonly ended: boolean;
}

export async function readProcess(pid: number): Promise<ProcessFacts | undefined> {
  const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // "4242 (postgres) S 1 ...": number, name, state, parent. The name may hold anything, parentheses too.
  const [, name, state, parent] = /^\d+ \((.*)\) (\S) (\d+) /s.exec(line) ?? [];
  if (name === undefined || state === undefined) return undefined;
  return { name, parentPid: Number(parent), ended: 'ZXx'.includes(state) };
}

/** Whether that is its working folder; 'unknown' when we may not look (a container's root at another account's). */
export async function worksIn(pid: number, folder: string): Promise<boolean | 'unknown'> {
  try {
    // Compared as files, since one folder can have many names.
    const [its, ours] = await Promise.all([stat(`/proc/${pid}/cwd`), stat(folder)]);
    return its.ino === ours.ino && its.dev === ours.dev;
  } catch {
    return 'unknown';
  }
}
