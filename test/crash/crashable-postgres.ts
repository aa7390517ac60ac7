/** A Postgres of our own that can be made to crash, and the way into it that no fault is on. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { type PostgresServer, startPostgres } from '../../src/operations/postgres/index.ts';

export class CrashablePostgres {
  readonly #dataDir: string;
  #server: PostgresServer | undefined;
  #pool: pg.Pool | undefined;

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  async start(): Promise<void> {
    // A crashed process loses nothing that it has handed to the operating system, so fsync proves nothing here.
    const settings = { fsync: 'off', shared_buffers: '64MB' };
    this.#server = await startPostgres({ dataDir: this.#dataDir, settings });
    this.#pool = new pg.Pool({ connectionString: this.#server.url, max: 2, query_timeout: 20_000 });
    this.#pool.on('error', () => undefined);
    this.#pool.on('connect', (client) => client.on('error', () => undefined));
  }

  get url(): URL {
    return new URL(this.#running().url);
  }

  get port(): number {
    return Number(this.url.port);
  }

  async query<R extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<R[]> {
    if (!this.#pool) throw new Error('Postgres does not run');
    return (await this.#pool.query<R>(text, [...values])).rows;
  }

  /** As `pg_ctl stop -m immediate`: no goodbyes, no checkpoint, and recovery at the next start. */
  async crash(): Promise<void> {
    const server = this.#running();
    const pid = Number(readFileSync(join(this.#dataDir, 'pg/postmaster.pid'), 'utf8').split('\n')[0]);
    process.kill(pid, 'SIGQUIT');
    await server.lost;
    await this.#leave();
  }

  async stop(): Promise<void> {
    const server = this.#server;
    await this.#leave();
    await server?.stop();
  }

  async #leave(): Promise<void> {
    const pool = this.#pool;
    this.#pool = undefined;
    this.#server = undefined;
    await pool?.end().catch(() => undefined);
  }

  #running(): PostgresServer {
    if (!this.#server) throw new Error('Postgres does not run');
    return this.#server;
  }
}
