import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

const abandonedAfterMs = 10 * 60_000;

/**
 * Removes the half-made folders of processes that were killed while they made them. Only old ones: a young one may
 * be another process's work of this moment.
 */
export async function removeAbandoned(folder: string, prefix: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith(prefix)) continue;
    const path = join(folder, name);
    const info = await stat(path).catch(() => undefined);
    if (info && Date.now() - info.ctimeMs > abandonedAfterMs)
      await rm(path, { recursive: true, force: true });
  }
}
