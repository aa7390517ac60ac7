/** A pool of connections that outlives their failures. */
import pg from 'pg';

/** Without listeners for its errors, a connection that breaks would end the process. */
export function openPool(url: string, connections: number, log: (line: string) => void): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: connections });
  pool.on('error', (error) => {
    // Ending does not wait for the server's goodbyes.
    if (!pool.ending) log(`an idle connection to Postgres failed: ${error.message}`);
  });
  // One in use: the query under way, or the next one, fails as well and is told of there.
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}
