/** What an installation keeps about itself, shared by every instance on the same database. */
import { randomBytes } from 'node:crypto';
import type { Pool } from 'pg';

/** What guards the schema of the read models: both make the same schema, and only one may at a time. */
const schemaLock = '7308332186';

/** The key that signs tokens: made once, kept in the database. */
export async function loadTokenKey(pool: Pool): Promise<Uint8Array> {
  // One simple query is one transaction.
  await pool.query(`
    SELECT pg_advisory_xact_lock(${schemaLock});
    CREATE SCHEMA IF NOT EXISTS tallyback;
    CREATE TABLE IF NOT EXISTS tallyback.installation (
      only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
      token_key bytea NOT NULL
    )`);
  await pool.query('INSERT INTO tallyback.installation (token_key) VALUES ($1) ON CONFLICT DO NOTHING', [
    randomBytes(32),
  ]);
  const { rows } = await pool.query<{ token_key: Buffer }>('SELECT token_key FROM tallyback.installation');
  const key = rows[0]?.token_key;
  if (!key) throw new Error('the installation has no token key');
  return key;
}
