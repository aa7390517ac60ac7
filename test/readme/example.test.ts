/** The README's examples are run as they stand. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { startServer } from '../support/tallyback-process.ts';

const root = join(import.meta.dirname, '../..');
const example = join(root, `.readme-example-${process.pid}.mjs`);
let folder: string;
let server: Awaited<ReturnType<typeof startServer>>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tallyback-readme-'));
  server = await startServer(folder, { TALLYBACK_SSE_LISTEN: '127.0.0.1:0' });
});

afterAll(async () => {
  rmSync(example, { force: true });
  await server.end('SIGTERM');
  rmSync(folder, { recursive: true, force: true });
});

const [send = '', page = ''] = [
  ...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/```js\n([^]*?)```/g),
].map(([, code]) => code);

/** Sends the order, and gives what that prints. */
async function sendOrder(): Promise<string> {
  // Beside package.json, where its imports point.
  writeFileSync(example, send);
  const { stdout } = await promisify(execFile)(process.execPath, [example, server.address], {
    timeout: 20_000,
  });
  return stdout;
}

test('the example prints the balance it says', async () => {
  expect(await sendOrder()).toMatch(/^ann-\S+ has 399 GBP minor units pending\n$/);
});

test("the page's code, with an EventSource that is not ours, shows what is there and what comes", async () => {
  const [, before = ''] = /^(\S+)/.exec(await sendOrder()) ?? [];
  const [, address = ''] = /browsers +http:\/\/([^/]+)\/watch/.exec(server.output()) ?? [];
  expect(page).toContain('127.0.0.1:7421');
  // A page shows the rows when it likes; this one when a heartbeat comes.
  const code = `${page
    .replace('127.0.0.1:7421', address)
    .replace('/watch/balances', '/watch/balances?options.heartbeatInterval=1s')}
    on('heartbeat', () => console.log(JSON.stringify([...shown])));`;
  const browser = spawn(process.execPath, [
    '--experimental-eventsource',
    '--input-type=module',
    '--eval',
    code,
  ]);
  const closed = once(browser, 'close');
  onTestFinished(async () => {
    browser.kill();
    await closed;
  });
  let printed = '';
  browser.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
  await expect.poll(() => printed, { timeout: 20_000 }).toMatch(/^up to date Map\(\d+\) \{/m);
  expect(printed).toContain(`'${before} GBP' => '399'`);
  const [, after = ''] = /^(\S+)/.exec(await sendOrder()) ?? [];
  await expect.poll(() => printed, { timeout: 20_000 }).toContain(`["${after} GBP","399"]`);
  // Going down, the server says so, and the page hears it.
  await server.end('SIGTERM');
  await expect.poll(() => printed, { timeout: 20_000 }).toContain('SERVER_STOPPING the server is going down');
});
