/**
 * Connections that are always given back. One that breaks between two statements says so by an event, which without a
 * listener ends the process: whoever makes the pool listens (operations/pool.ts).
 */
import type pg from 'pg';

/** Runs `work` on a connection of its own; one on which it failed is thrown away. */
export async function withClient<R>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<R>): Promise<R> {
  const client = await pool.connect();
  try {
    const result = await work(client);
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
