/** A pool of connections that outlives their failures. */
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

/** Milliseconds. A server that has stopped answering must stall nobody for ever. */
export interface PoolTimeouts {
  /** Longest to wait for a connection: a new one, or one that is in use. */
  readonly connect: number;
  /** Longest a statement may take. Whatever reads much does so in pages. */
  readonly query: number;
}

const defaultTimeouts: PoolTimeouts = { connect: 5_000, query: 60_000 };

const socketsOf = new WeakMap<pg.Pool, ReadonlySet<Socket>>();

/** Without listeners for its errors, a connection that breaks would end the process. */
export function openPool(
  url: string,
  connections: number,
  log: (line: string) => void,
  timeouts: PoolTimeouts = defaultTimeouts,
): pg.Pool {
  const sockets = new Set<Socket>();
  const pool = new pg.Pool({
    connectionString: url,
    max: connections,
    connectionTimeoutMillis: timeouts.connect,
    query_timeout: timeouts.query,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    stream: () => {
      const socket = new Socket();
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      return socket;
    },
  });
  socketsOf.set(pool, sockets);
  pool.on('error', (error) => {
    // Ending does not wait for the server's goodbyes.
    if (!pool.ending) log(`an idle connection to Postgres failed: ${error.message}`);
  });
  // One in use: the query under way, or the next one, fails as well and is told of there.
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

/** Ends a pool. Connections still in use after that many milliseconds are cut: the process must be able to end. */
export async function closePool(pool: pg.Pool, longest = 5_000): Promise<void> {
  const inTime = new AbortController();
  try {
    await Promise.race([
      pool.end(),
      delay(longest, undefined, { signal: inTime.signal }).catch(() => undefined),
    ]);
  } finally {
    inTime.abort();
    for (const socket of socketsOf.get(pool) ?? []) socket.destroy();
  }
}
