/**
 * Postgres for tests: one embedded cluster per test run (global-postgres.ts), one database per test file.
 * TALLYBACK_TEST_DATABASE_URL names a server to use instead; its role must be able to create databases.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { inject } from 'vitest';
import { startPostgres } from '../../src/operations/postgres/index.ts';

export interface TestPostgres {
  /** Connection string of a role that may create databases. */
  readonly url: string;
  stop(): Promise<void>;
}

/** Starts a cluster in a temporary folder that goes with it. Not durable unless `durable` is set. */
export async function startTestPostgres(options: { readonly durable?: boolean } = {}): Promise<TestPostgres> {
  const dataDir = await mkdtemp(path.join(tmpdir(), 'tallyback-test-postgres-'));
  const remove = (): Promise<void> => rm(dataDir, { recursive: true, force: true });
  try {
    const server = await startPostgres({
      databaseUrl: process.env['TALLYBACK_TEST_DATABASE_URL'],
      dataDir,
      settings: options.durable ? {} : { fsync: 'off', full_page_writes: 'off' },
    });
    return {
      url: server.url,
      stop: async () => {
        await server.stop();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

export interface TestDatabase {
  readonly url: string;
  drop(): Promise<void>;
}

/** An empty database of its own, on the run's cluster. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const admin = inject('postgresUrl');
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await execute(admin, `CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8'`);
  const url = new URL(admin);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    drop: async () => {
      // Not WITH (FORCE): that is refused while autovacuum, which is not ours to end, works there.
      await execute(
        admin,
        `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '${name}' AND usename = current_user`,
      );
      await execute(admin, `DROP DATABASE IF EXISTS ${name}`);
    },
  };
}

async function execute(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
