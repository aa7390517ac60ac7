/** The README's example is run as it stands. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startServer } from '../support/tallyback-process.ts';

const root = join(import.meta.dirname, '../..');
const example = join(root, `.readme-example-${process.pid}.mjs`);
let folder: string;
let server: Awaited<ReturnType<typeof startServer>>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tallyback-readme-'));
  server = await startServer(folder);
});

afterAll(async () => {
  rmSync(example, { force: true });
  await server.end('SIGTERM');
  rmSync(folder, { recursive: true, force: true });
});

test('the example prints the balance it says', async () => {
  const code = /```js\n([\s\S]*?)```/.exec(readFileSync(join(root, 'README.md'), 'utf8'))?.[1];
  expect(code).toBeDefined();
  // Beside package.json, where its imports point.
  writeFileSync(example, code ?? '');
  const { stdout } = await promisify(execFile)(process.execPath, [example, server.address], {
    timeout: 20_000,
  });
  expect(stdout).toMatch(/^ann-\S+ has 399 GBP minor units pending\n$/);
});
