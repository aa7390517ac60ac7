/**
 * The adapter's connections: one for appends, a few for reads, and single clients on demand (listener).
 * Sessions are set up here so that no server, database or role default can change what the SQL means.
 */
import { Socket } from 'node:net';
import pg from 'pg';
import { EventStoreUnavailable } from '../port.ts';
import { errorText, type StoreLog } from '../log.ts';

export interface DatabaseOptions {
  /** What to connect to; `connectionString` wins over single fields, PG* variables fill the gaps. */
  readonly client: pg.ClientConfig;
  readonly readConnections: number;
  /** Longest an append may run in the server, waiting for other processes' appends included; milliseconds. */
  readonly appendTimeout: number;
  /** Longest a page may take; milliseconds. */
  readonly readTimeout: number;
  readonly connectTimeout: number;
}

/** A row as texts, in column order: parsing is up to the reader of the row. */
export type TextRow = readonly (string | null)[];

const asText = { getTypeParser: () => (value: string | Buffer) => value };

const everySession = `
  SET timezone = 'UTC'; SET datestyle = 'ISO'; SET jit = off;
  SET default_transaction_isolation = 'read committed';
  -- All access is by index. Say so, because the planner guesses badly on a table it has never analysed.
  SET enable_seqscan = off; SET enable_bitmapscan = off;
`;
/** An append is acknowledged when it is durable, whatever the default; stronger settings are kept. */
const appendSession = `
  SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
`;
/** Nothing but hints is written here (NOTIFY), and a hint need not survive a crash. */
const readSession = `SET synchronous_commit = off;`;

export class Database {
  readonly #options: DatabaseOptions;
  readonly #log: StoreLog;
  readonly #append: pg.Pool;
  readonly #read: pg.Pool;
  readonly #sockets = new Set<Socket>();

  constructor(options: DatabaseOptions, log: StoreLog) {
    this.#options = options;
    this.#log = log;
    this.#append = this.#pool('append', 1, options.appendTimeout, appendSession);
    this.#read = this.#pool('read', options.readConnections, options.readTimeout, readSession);
  }

  /** Runs a write once. Throws EventStoreUnavailable: it may or may not have happened. */
  append(name: string, text: string, values: readonly string[]): Promise<TextRow[]> {
    return run(this.#append, name, text, values);
  }

  /** Runs a read; once more if the connection turned out to be dead. Throws EventStoreUnavailable. */
  async read(name: string, text: string, values: readonly string[]): Promise<TextRow[]> {
    try {
      return await run(this.#read, name, text, values);
    } catch {
      return await run(this.#read, name, text, values);
    }
  }

  /** Sends a notification to all sessions that listen. Throws EventStoreUnavailable. */
  async notify(channel: string, payload: string): Promise<void> {
    await run(this.#read, 'tallyback_notify', 'SELECT pg_notify($1, $2)', [channel, payload]);
  }

  /** Runs `work` on the connection for appends. Throws EventStoreUnavailable, and what `work` throws. */
  async withClient<T>(work: (client: pg.ClientBase) => Promise<T>): Promise<T> {
    const client = await this.#append.connect().catch((error: unknown) => {
      throw unavailable(error);
    });
    try {
      const result = await work(client);
      client.release();
      return result;
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  /** A client outside the pools, not yet connected. End it with `endClient`. */
  singleClient(role: string): pg.Client {
    const client = new pg.Client(this.#clientConfig(role, this.#options.readTimeout));
    // Without a listener an error on an idle connection would end the process.
    client.on('error', (error) => this.#log('debug', `${role} connection failed`, { error: error.message }));
    return client;
  }

  /** Politely for a second; a server that does not answer is then cut off. */
  async close(): Promise<void> {
    await within(goodbyeTime, Promise.all([this.#append.end(), this.#read.end()]));
    for (const socket of this.#sockets) socket.destroy();
  }

  #clientConfig(role: string, timeout: number): pg.ClientConfig {
    const base = this.#options.client;
    return {
      ...base,
      application_name: base.application_name ?? `tallyback-log-${role}`,
      connectionTimeoutMillis: this.#options.connectTimeout,
      // The server gives up first; this one is for a server that has stopped answering altogether.
      query_timeout: timeout + 2_000,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      stream: () => this.#socket(),
    };
  }

  #socket(): Socket {
    const socket = new Socket();
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    return socket;
  }

  #pool(role: string, max: number, timeout: number, session: string): pg.Pool {
    const setUp = `SET statement_timeout = ${Math.round(timeout)}; ${everySession} ${session}`;
    const pool = new pg.Pool({
      ...this.#clientConfig(role, timeout),
      max,
      idleTimeoutMillis: 30_000,
      // Before a new connection is first used.
      verify: (client, done) => {
        client.query(setUp).then(() => done(), done);
      },
    });
    // The pool listens to idle clients only; what fails in use also rejects the query under way.
    pool.on('connect', (client) => client.on('error', ignore));
    pool.on('error', (error) =>
      this.#log('debug', `idle ${role} connection failed`, { error: error.message }),
    );
    return pool;
  }
}

/** Ends a client; one whose server does not answer is left behind, to be cut off when the database closes. */
export async function endClient(client: pg.Client): Promise<void> {
  await within(goodbyeTime, client.end());
}

const goodbyeTime = 1_000;

const ignore = (): void => undefined;

/** Settles with the promise, but after that many milliseconds at the latest. Never rejects. */
function within(milliseconds: number, promise: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    promise.then(done, done);
  });
}

/** Prepared once per connection. A failing connection is thrown away by the pool. */
async function run(pool: pg.Pool, name: string, text: string, values: readonly string[]): Promise<TextRow[]> {
  try {
    const result = await pool.query<(string | null)[]>({
      name,
      text,
      values: [...values],
      rowMode: 'array',
      types: asText,
    });
    const { rows } = result;
    // What pg keeps of a query has been seen to hold on to one of before: pages long gone would outlive collections of
    // the young generation, and end in pauses of the old one.
    result.rows = [];
    return rows;
  } catch (error) {
    throw unavailable(error);
  }
}

export function unavailable(error: unknown): EventStoreUnavailable {
  if (error instanceof EventStoreUnavailable) return error;
  return new EventStoreUnavailable(`Postgres event store: ${errorText(error)}`, { cause: error });
}
