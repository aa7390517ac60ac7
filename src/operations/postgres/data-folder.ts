/**
 * The data folder: <dataDir>/pg is the cluster, beside it stand the password, the log, and what the caller keeps.
 */
import { chmod, mkdir, realpath, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Account } from './account.ts';
import type { Binaries } from './binaries.ts';
import { neutralFolder } from './commands.ts';
import { errorCode, inDataDir } from './errors.ts';
import { PostgresStartError } from './types.ts';

export interface DataFolder {
  readonly path: string;
  readonly cluster: string;
  readonly secret: string;
  readonly log: string;
}

/** Creates the folder, for its owner alone, and resolves links on the way to it once and for all. */
export const openDataFolder = (dataDir: string): Promise<DataFolder> =>
  inDataDir(dataDir, () => createAndResolve(dataDir));

async function createAndResolve(dataDir: string): Promise<DataFolder> {
  await createFolder(resolve(dataDir));
  const path = await realpath(dataDir);
  const info = await stat(path);
  if (!info.isDirectory()) throw new PostgresStartError('DATA_DIR', `${path} is not a folder.`);
  // Who can write here can swap the password file. An existing folder stays as readable as its owner made it.
  if (info.uid === process.geteuid?.() && (info.mode & 0o022) !== 0) await chmod(path, info.mode & 0o7755);
  return {
    path,
    cluster: join(path, 'pg'),
    secret: join(path, 'postgres-password'),
    log: join(path, 'postgres.log'),
  };
}

/** Level by level: where nothing can be made, as in /proc, Node's recursive mkdir tries for ever. */
async function createFolder(path: string): Promise<void> {
  const missing: string[] = [];
  for (let at = path; !(await exists(at)); at = dirname(at)) missing.push(at);
  for (const folder of missing.toReversed()) {
    await mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
      // Somebody was faster.
      if (errorCode(error) !== 'EEXIST') throw error;
    });
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT' && dirname(path) !== path) return false;
    throw error;
  }
}

/** How a program is told its data folder: the argument of -D, and the folder it is started in. */
export interface DataArgument {
  readonly path: string;
  readonly cwd: string;
}

/**
 * As root, Postgres runs as an account that may enter neither the data folder (0700, ours) nor, often, the folders
 * above it (a checkout in /root). So we enter the cluster for it and name it /proc/self/cwd, which Linux resolves
 * without looking at the folders above. Nothing has to be opened up to anybody.
 */
export function dataArgument(folder: string, account: Account, binaries: Binaries): DataArgument {
  if (entersByName(account, binaries)) return { path: folder, cwd: neutralFolder };
  return { path: '/proc/self/cwd', cwd: folder };
}

/** Before version 16 Postgres leaves its folder and comes back by name as it starts; macOS has no /proc (untested). */
const entersByName = (account: Account, binaries: Binaries): boolean =>
  !account.switched || process.platform !== 'linux' || binaries.major < 16;

/** Lets the account pass through the data folder, where it must enter the cluster by name. It still cannot list it. */
export async function letPass(folder: DataFolder, account: Account, binaries: Binaries): Promise<void> {
  if (!account.switched || !entersByName(account, binaries)) return;
  await chmod(folder.path, (await stat(folder.path)).mode | 0o011);
}
