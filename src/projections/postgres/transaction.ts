/** Connections that are always given back. */
import type pg from 'pg';

/**
 * A connection of the pool. One that breaks between two statements says so by an event, which without a listener ends the
 * process, and it may break in the moment it is there: so it is listened to at once (by `ignore`: the next statement fails
 * anyway).
 */
export const connected = (pool: pg.Pool): Promise<pg.PoolClient> =>
  new Promise((resolve, reject) => {
    pool.connect((error, client) => {
      if (client) resolve(client.on('error', ignore));
      else reject(error ?? new Error('the pool gave no connection'));
    });
  });

/** Runs `work` on a connection of its own; one on which it failed is thrown away. */
export async function withClient<R>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<R>): Promise<R> {
  const client = await connected(pool);
  try {
    const result = await work(client);
    client.off('error', ignore);
    client.release();
    return result;
  } catch (error) {
    client.release(true);
    throw error;
  }
}

/** The same, in a transaction: whatever is thrown undoes it, with the connection. */
export const inTransaction = <R>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<R>): Promise<R> =>
  withClient(pool, async (client) => {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    return result;
  });

/**
 * For a statement that goes through a whole table: however long it takes. (What the pool allows a statement is meant for
 * servers that have stopped answering.)
 */
export const unhurried = { query_timeout: 86_400_000 } as const;

const ignore = (): void => undefined;
