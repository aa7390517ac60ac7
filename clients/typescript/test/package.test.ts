/** What would be published stands on its own. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const library = join(import.meta.dirname, '..');

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly engines: Readonly<Record<string, string>>;
  readonly license: string;
  readonly exports: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

const manifestOf = (folder: string): Manifest =>
  // Ours; npm would not have it otherwise.
  JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;

const own = manifestOf(library);
const root = manifestOf(join(library, '../..'));

test('it needs what it imports, in the versions it is tested with, and nothing else', () => {
  const imported = readdirSync(join(library, 'dist'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.js'))
    .flatMap((name) => {
      const code = readFileSync(join(library, 'dist', name), 'utf8');
      return [...code.matchAll(/\bfrom ['"]([^.'"][^'"]*)['"]/g)].map(([, specifier = '']) => specifier);
    })
    .filter((specifier) => !specifier.startsWith('node:'))
    .map((specifier) => specifier.split('/').slice(0, 2).join('/'));
  expect(Object.keys(own.dependencies).toSorted()).toEqual([...new Set(imported)].toSorted());
  for (const [name, version] of Object.entries(own.dependencies))
    expect(version).toBe(root.dependencies[name]);
  expect(own.engines).toEqual(root.engines);
  expect(own.license).toBe(root.license);
});

test('all of it is packed, and nothing of the tests or the sources', async () => {
  const npm = promisify(execFile)('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: library,
  });
  const [packed] = JSON.parse((await npm).stdout) as { readonly files: { readonly path: string }[] }[];
  const files = packed?.files.map(({ path }) => path) ?? [];
  for (const path of Object.values(own.exports['.'] ?? {})) expect(files).toContain(path.replace('./', ''));
  expect(files).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'package.json']));
  expect(files.filter((path) => !/^(dist\/.*\.(js|d\.ts)|[^/]+)$/.test(path))).toEqual([]);
  expect(files.filter((path) => /tsconfig|buf\.gen|tsbuildinfo/.test(path))).toEqual([]);
});
