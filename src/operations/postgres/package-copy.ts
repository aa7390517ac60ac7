/**
 * A copy of the binary package that everybody may read, for when the package is in a folder that the account which
 * runs Postgres cannot enter (a checkout in /root) or in one we cannot write the links to.
 */
import {
  chmod,
  copyFile,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  readlink,
  rename,
  rm,
  symlink,
} from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { errorCode } from './errors.ts';
import { removeAbandoned } from './leftovers.ts';
import { makeLinks } from './package-links.ts';

/** Folders a copy may live in, best first. */
export function cacheFolders(configured: string | undefined): string[] {
  if (configured) return [configured];
  const uid = process.geteuid?.() ?? 'user';
  const system = uid === 0 ? '/var/cache' : (process.env['XDG_CACHE_HOME'] ?? join(homeFolder(), '.cache'));
  return [join(system, 'tallyback'), join(tmpdir(), `tallyback-${uid}`)];
}

function homeFolder(): string {
  try {
    return homedir();
  } catch {
    return tmpdir(); // a uid without an account has no home
  }
}

/** The package's copy below `cacheDir`, made once. Throws when that folder is unfit. */
export async function cachedCopy(packageDir: string, cacheDir: string): Promise<string> {
  await mkdir(cacheDir, { recursive: true });
  const info = await lstat(cacheDir);
  // In a shared folder such as /tmp somebody else may have been here first, with binaries of their own.
  const ours = process.geteuid?.();
  if (!info.isDirectory() || (ours !== undefined && info.uid !== ours)) {
    throw new Error(`${cacheDir} is not a folder of ours`);
  }
  await chmod(cacheDir, 0o755);

  const target = join(cacheDir, await copyName(packageDir));
  const files = await packageFiles(packageDir);
  if (await isComplete(files, target)) return target;

  await removeAbandoned(cacheDir, freshPrefix);
  const fresh = await mkdtemp(join(cacheDir, freshPrefix));
  try {
    await copyFiles(files, packageDir, fresh);
    await makeLinks(fresh);
    await replaceFolder(target, fresh);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  return target;
}

const freshPrefix = '.new-';

interface PackageFile {
  /** Relative to the package. */
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'link';
  readonly size: number;
}

async function copyName(packageDir: string): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(join(packageDir, 'package.json'), 'utf8'));
  const hasVersion = typeof manifest === 'object' && manifest !== null && 'version' in manifest;
  const version = hasVersion && typeof manifest.version === 'string' ? manifest.version : 'unversioned';
  return `postgres-${basename(version)}-${process.platform}-${process.arch}`;
}

/** Everything that a server needs: not the static libraries. */
async function packageFiles(packageDir: string, folder = 'native'): Promise<PackageFile[]> {
  const found: PackageFile[] = [{ path: folder, kind: 'folder', size: 0 }];
  for (const entry of await readdir(join(packageDir, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) found.push(...(await packageFiles(packageDir, path)));
    else if (entry.isSymbolicLink()) found.push({ path, kind: 'link', size: 0 });
    else if (!path.endsWith('.a')) {
      found.push({ path, kind: 'file', size: (await lstat(join(packageDir, path))).size });
    }
  }
  return found;
}

/** Looked at each time: cleaners of temporary folders take single files, and a power cut leaves empty ones. */
async function isComplete(files: readonly PackageFile[], target: string): Promise<boolean> {
  try {
    for (const file of files) {
      const there = await lstat(join(target, file.path));
      if (file.kind === 'file' && there.size !== file.size) return false;
    }
    return await makeLinks(target);
  } catch {
    return false;
  }
}

async function copyFiles(files: readonly PackageFile[], from: string, to: string): Promise<void> {
  await chmod(to, 0o755);
  for (const { path, kind } of files) {
    const [source, target] = [join(from, path), join(to, path)];
    if (kind === 'link') {
      await symlink(await readlink(source), target);
      continue;
    }
    if (kind === 'folder') await mkdir(target);
    else await copyFile(source, target);
    // Not the source's mode, nor our umask's: a package installed under umask 077 is closed file by file.
    const runs = kind === 'folder' || ((await lstat(source)).mode & 0o100) !== 0;
    await chmod(target, runs ? 0o755 : 0o644);
  }
}

/** Puts `fresh` at `target`, in place of an incomplete one. When another process was quicker, theirs will do. */
async function replaceFolder(target: string, fresh: string): Promise<void> {
  const incomplete = `${fresh}.old`;
  await rename(target, incomplete).catch(() => undefined);
  await rm(incomplete, { recursive: true, force: true });
  await rename(fresh, target).catch((error: unknown) => {
    const code = errorCode(error);
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  });
}
