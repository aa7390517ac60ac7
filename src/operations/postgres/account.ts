/**
 * Postgres refuses to run as root, so as root its processes drop to an account that exists. We never create one.
 */
import { readFile, readdir, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { errorCode } from './errors.ts';
import { PostgresStartError } from './types.ts';

export interface Account {
  /** What child processes are spawned with; empty when they stay who we are. */
  readonly credentials: { readonly uid: number; readonly gid: number } | Record<string, never>;
  /** True when children run as somebody else than this process (which is then root). */
  readonly switched: boolean;
  readonly name: string;
}

/** Who runs Postgres: ourselves or, as root, the owner of the cluster, else `postgres`, else `nobody`. */
export async function chooseAccount(clusterDir: string): Promise<Account> {
  if (process.geteuid?.() !== 0)
    return { credentials: {}, switched: false, name: currentName() ?? 'unnamed' };

  const entries = await passwdEntries();
  const owner = await clusterOwner(clusterDir);
  if (owner) {
    // Postgres demands that the owner of its data runs it, whoever that was when the data was made.
    const known = entries.find((entry) => entry.uid === owner.uid);
    return { credentials: owner, switched: true, name: known?.name ?? `uid ${owner.uid}` };
  }
  const account =
    entries.find((entry) => entry.name === 'postgres' || entry.name === '_postgres') ??
    entries.find((entry) => entry.name === 'nobody');
  if (!account || account.uid === 0) {
    throw new PostgresStartError(
      'INIT_FAILED',
      'Postgres does not run as root, and there is no account "postgres" or "nobody" to run it as. ' +
        'Create one, start Tallyback as another user, or set DATABASE_URL.',
    );
  }
  return { credentials: { uid: account.uid, gid: account.gid }, switched: true, name: account.name };
}

/** initdb asks the system who it is and gives up when the uid has no name (`docker run --user 12345`). */
export function requireNamedUser(): void {
  const uid = process.geteuid?.();
  if (uid === undefined || currentName() !== undefined) return;
  throw new PostgresStartError(
    'INIT_FAILED',
    `User id ${uid} has no entry in /etc/passwd, and initdb does not run without one. ` +
      'Start Tallyback as a user that has an account (or as root), or set DATABASE_URL.',
  );
}

function currentName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return undefined;
  }
}

async function clusterOwner(clusterDir: string): Promise<{ uid: number; gid: number } | undefined> {
  try {
    const { uid, gid } = await stat(clusterDir);
    if (uid !== 0) return { uid, gid };
    if ((await readdir(clusterDir)).length === 0) return undefined;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  // Left alone on purpose: it may be a backup somebody is restoring, or another program's folder.
  throw new PostgresStartError(
    'DATA_DIR',
    `${clusterDir} belongs to root, as which Postgres does not run. Give it to another account: chown -R postgres ${clusterDir}`,
  );
}

async function passwdEntries(): Promise<{ name: string; uid: number; gid: number }[]> {
  const text = await readFile('/etc/passwd', 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    const [name, , uid, gid] = line.split(':');
    if (!name || !uid || !gid) return [];
    // macOS writes nobody as -2, which is 4294967294.
    return [{ name, uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 }];
  });
}
