/**
 * Making the cluster. initdb works in a folder of its own that becomes <dataDir>/pg in one rename: a process killed
 * half way leaves nothing that looks like a cluster, and of two processes at once one wins.
 */
import { chown, mkdir, mkdtemp, open, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { requireNamedUser, type Account } from './account.ts';
import { program, type Binaries } from './binaries.ts';
import { runCommand } from './commands.ts';
import { dataArgument, type DataFolder } from './data-folder.ts';
import { errorCode } from './errors.ts';
import { removeAbandoned } from './leftovers.ts';
import { ensureSecret, readSecret } from './secret.ts';
import { PostgresStartError } from './types.ts';

/** The cluster's superuser. Tallyback itself connects as somebody lesser (database.ts). */
export const superuser = 'postgres';

const draftPrefix = 'pg.new-';

/** Makes the cluster if there is none, refuses one that these binaries cannot run. Returns its password. */
export async function ensureCluster(
  folder: DataFolder,
  binaries: Binaries,
  account: Account,
): Promise<string> {
  const major = await clusterVersion(folder.cluster);
  if (major === undefined) {
    const secret = await ensureSecret(folder.secret);
    await makeCluster(folder, binaries, account, secret);
    return secret;
  }
  if (major !== String(binaries.major)) {
    throw new PostgresStartError(
      'DATA_DIR',
      `${folder.cluster} was made by Postgres ${major}, and this is Postgres ${binaries.version}. ` +
        `Set TALLYBACK_POSTGRES_BIN to the binaries of Postgres ${major}, or move the data over with pg_dump.`,
    );
  }
  const secret = await readSecret(folder.secret);
  if (secret !== undefined) return secret;
  throw new PostgresStartError(
    'DATA_DIR',
    `${folder.secret}, the password of the data beside it, is gone. Restore it.`,
  );
}

/** The major version that made the cluster; undefined when there is none yet. */
async function clusterVersion(cluster: string): Promise<string | undefined> {
  try {
    return (await readFile(join(cluster, 'PG_VERSION'), 'utf8')).trim();
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
  const content = await readdir(cluster).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  });
  if (content.length === 0) return undefined;
  throw new PostgresStartError('DATA_DIR', `${cluster} holds files but no Postgres cluster. Move them away.`);
}

async function makeCluster(
  folder: DataFolder,
  binaries: Binaries,
  account: Account,
  secret: string,
): Promise<void> {
  if (!account.switched) requireNamedUser();
  await removeAbandoned(folder.path, draftPrefix);
  const draft = await mkdtemp(join(folder.path, draftPrefix));
  try {
    const [data, passwordFile] = [join(draft, 'data'), join(draft, 'password')];
    await mkdir(data, { mode: 0o700 });
    await writeFile(passwordFile, secret, { mode: 0o600, flag: 'wx' });
    const { uid, gid } = account.credentials;
    if (uid !== undefined && gid !== undefined) {
      for (const path of [data, passwordFile, draft]) await chown(path, uid, gid);
    }
    await runInitdb(data, binaries, account);
    await becomeCluster(data, folder);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function runInitdb(data: string, binaries: Binaries, account: Account): Promise<void> {
  const { path, cwd } = dataArgument(data, account, binaries);
  const result = await runCommand(
    program(binaries.folder, 'initdb'),
    [
      `--pgdata=${path}`,
      `--pwfile=${path}/../password`,
      `--username=${superuser}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--data-checksums',
    ],
    { account, cwd, timeoutMs: 5 * 60_000 },
  );
  if (result.ok) return;
  throw new PostgresStartError(
    'INIT_FAILED',
    `initdb failed as ${account.name} in ${data}: ${result.problem}`,
  );
}

async function becomeCluster(data: string, folder: DataFolder): Promise<void> {
  try {
    await rename(data, folder.cluster);
  } catch (error) {
    const code = errorCode(error);
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
    return; // another process was quicker; with the same password, so its cluster is as good
  }
  if (process.platform === 'win32') return; // folders cannot be synced there
  const handle = await open(folder.path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
