/** The README's examples are run as they stand, on a real server and on what would be published. */
import { execFile } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RealServer, startRealServer } from './support/real-server.ts';

const library = join(import.meta.dirname, '..');
const run = promisify(execFile);

const examples = [
  ...readFileSync(join(library, 'README.md'), 'utf8').matchAll(
    /```js\n([\s\S]*?)```\n\n```text\n([\s\S]*?)```/g,
  ),
].map(([, code = '', output = ''], n) => ({ n, code, output }));

let server: RealServer;
beforeAll(async () => {
  server = await startRealServer();
});
afterAll(() => server.stop());

test('there are examples', () => {
  const blocks = readFileSync(join(library, 'README.md'), 'utf8').match(/```js\n/g);
  expect(examples).toHaveLength(blocks?.length ?? 0);
  expect(examples.length).toBeGreaterThan(3);
});

test.each(examples)('example $n prints what it says', async ({ n, code, output }) => {
  const [address, ...more] = code.match(/127\.0\.0\.1:7420/g) ?? [];
  expect([address, ...more]).toHaveLength(1);
  // Inside the package, where its own name leads to what its package.json exports.
  const file = join(library, `.readme-${process.pid}-${n}.mjs`);
  writeFileSync(file, code.replace('127.0.0.1:7420', server.address));
  try {
    const { stdout } = await run(process.execPath, [file], { timeout: 25_000 });
    expect(stdout).toBe(output);
  } finally {
    rmSync(file);
  }
});

test('the examples are right by the types, and one that is not is found out', async () => {
  const wrong = `import { connect } from '@tallyback/client';\nawait connect('').orders.getOrder({ sourc: 'awin' });\n`;
  const files = [...examples.map(({ code }) => code), wrong].map((code, n) => {
    const file = join(library, `.readme-${process.pid}-types-${n}.mts`);
    writeFileSync(file, code);
    return file;
  });
  const tsc = join(library, '../../node_modules/typescript/bin/tsc');
  const options =
    '--ignoreConfig --noEmit --target es2023 --module nodenext --types node --noImplicitAny false';
  try {
    const checked = await run(process.execPath, [tsc, ...options.split(' '), ...files]).catch(
      (error: { readonly stdout: string }) => error,
    );
    const problems = checked.stdout.split('\n').filter((line) => line !== '');
    expect(problems).toEqual([expect.stringContaining("'sourc' does not exist")]);
  } finally {
    for (const file of files) rmSync(file);
  }
}, 60_000);
