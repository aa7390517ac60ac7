/**
 * The symbolic links of a binary package. npm packages cannot hold links: this one lists them in
 * native/pg-symlinks.json and makes them in an install script, which many installations do not run (npm ci
 * --ignore-scripts, pnpm's default). Without them its libraries are not found.
 */
import { readFile, symlink } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative } from 'node:path';
import { errorCode } from './errors.ts';

/** Makes the links that are missing. False when that is not possible where the package is. */
export async function makeLinks(packageDir: string): Promise<boolean> {
  for (const { source, target } of await listedLinks(packageDir)) {
    try {
      await symlink(relative(dirname(target), source), join(packageDir, target));
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') return false;
    }
  }
  return true;
}

async function listedLinks(packageDir: string): Promise<{ source: string; target: string }[]> {
  const text = await readFile(join(packageDir, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const list: unknown = JSON.parse(text);
  if (!Array.isArray(list)) return [];
  return list.flatMap((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null || !('source' in entry) || !('target' in entry))
      return [];
    const { source, target } = entry;
    if (typeof source !== 'string' || typeof target !== 'string' || !isInside(source) || !isInside(target))
      return [];
    return [{ source, target }];
  });
}

const isInside = (path: string): boolean => !isAbsolute(path) && !path.split(/[\\/]/).includes('..');
