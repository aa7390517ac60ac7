/** The pool of everything that is not the log, and what is asked of it first: a frozen server, two first starts. */
import { expect, onTestFinished, test } from 'vitest';
import { loadTokenKey } from '../../src/operations/installation.ts';
import { closePool, openPool } from '../../src/operations/pool.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

async function openDatabase(): Promise<string> {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  return database.url;
}

test(
  'a server that has stopped answering stalls neither queries nor the end',
  { timeout: 10_000 },
  async () => {
    const url = await openDatabase();
    const proxy = await TcpProxy.before(url);
    onTestFinished(() => proxy.close());
    const pool = openPool(proxy.urlFor(url), 2, () => undefined, { connect: 200, query: 200 });
    const inUse = await pool.connect();
    await pool.query('select 1');

    proxy.frozen = true;
    await expect(inUse.query('select 1')).rejects.toThrow(/timeout/);
    await expect(pool.query('select 1')).rejects.toThrow(/timeout/);
    await expect(pool.query('select 1')).rejects.toThrow(/timeout/);
    const ended = new Promise((resolve) => inUse.once('end', resolve));
    // Never released.
    await closePool(pool, 100);
    await ended;
  },
);

test('an installation whose instances all start for the first time at once has one token key', async () => {
  const pool = openPool(await openDatabase(), 8, () => undefined);
  onTestFinished(() => closePool(pool));
  await Promise.all(Array.from({ length: 8 }, () => pool.query('select pg_sleep(0.05)')));
  const keys = await Promise.all(Array.from({ length: 8 }, () => loadTokenKey(pool)));
  expect(new Set(keys.map((key) => Buffer.from(key).toString('hex'))).size).toBe(1);
});
