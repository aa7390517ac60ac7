/** Snapshots in Postgres. The table may be emptied or dropped between two starts: then streams are read whole. */
import type { Pool } from 'pg';
import type { SnapshotStore } from './snapshot-store.ts';

// Several statements in one query are one transaction.
const schema = `
  -- Two processes that start at once would otherwise both find it missing.
  SELECT pg_advisory_xact_lock(hashtextextended('tallyback.aggregate_snapshot', 0));
  CREATE SCHEMA IF NOT EXISTS tallyback;
  CREATE TABLE IF NOT EXISTS tallyback.aggregate_snapshot (
    stream   text PRIMARY KEY,
    revision integer NOT NULL,
    seal     bytea NOT NULL,
    state    bytea NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT now()
  )`;

const select = 'SELECT revision, seal, state FROM tallyback.aggregate_snapshot WHERE stream = $1';

// Whoever comes last: an older one costs a longer read, and is replaced by the next.
const upsert = `
  INSERT INTO tallyback.aggregate_snapshot (stream, revision, seal, state) VALUES ($1, $2, $3, $4)
  ON CONFLICT (stream) DO UPDATE
    SET revision = excluded.revision, seal = excluded.seal, state = excluded.state, saved_at = now()`;

interface Row {
  readonly revision: number;
  readonly seal: Buffer;
  readonly state: Buffer;
}

export function postgresSnapshotStore(pool: Pool): SnapshotStore {
  let prepared: Promise<unknown> | undefined;

  /** Creates the table with the first use of it; tries again when that failed. */
  function prepare(): Promise<unknown> {
    prepared ??= pool.query(schema).catch((error: unknown) => {
      prepared = undefined;
      throw error;
    });
    return prepared;
  }

  return {
    async load(stream) {
      await prepare();
      const { rows } = await pool.query<Row>(select, [stream]);
      const row = rows[0];
      return row && { stream, revision: row.revision, seal: row.seal, bytes: row.state };
    },

    async save({ stream, revision, seal, bytes }) {
      await prepare();
      await pool.query(upsert, [stream, revision, seal, bytes]);
    },
  };
}
