/**
 * Refused records in Postgres. One insert runs at a time; what comes meanwhile goes into the next, so a source
 * that sends nothing but rubbish costs one transaction per round trip, not per record.
 */
import { createHash } from 'node:crypto';
import type { Pool } from 'pg';
import type { RefusedRecord, RefusedRecords } from './refused-records.ts';

/** Of one insert. */
const mostRecords = 500;
const mostBytes = 8 << 20;

// Several statements in one query are one transaction.
const schema = `
  -- Two processes that start at once would otherwise both find it missing.
  SELECT pg_advisory_xact_lock(hashtextextended('tallyback.refused_record', 0));
  CREATE SCHEMA IF NOT EXISTS tallyback;
  CREATE TABLE IF NOT EXISTS tallyback.refused_record (
    record_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- SHA-256 of the record and the reason.
    fingerprint bytea NOT NULL UNIQUE,
    received_at timestamptz NOT NULL DEFAULT now(),
    reason      text NOT NULL,
    message     text NOT NULL,
    field       text NOT NULL,
    record      bytea NOT NULL,
    times       bigint NOT NULL
  );
  CREATE INDEX IF NOT EXISTS refused_record_reason ON tallyback.refused_record (reason, record_id)`;

const insert = `
  INSERT INTO tallyback.refused_record (fingerprint, reason, message, field, record, times)
  SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bigint[])
  ON CONFLICT (fingerprint) DO UPDATE SET times = refused_record.times + excluded.times`;

const select = `
  SELECT record_id, received_at, reason, message, field, record, times
  FROM tallyback.refused_record
  WHERE record_id > $1 AND ($2::text IS NULL OR reason = $2)
  ORDER BY record_id LIMIT $3`;

interface Row {
  record_id: string;
  received_at: Date;
  reason: string;
  message: string;
  field: string;
  record: Buffer;
  times: string;
}

interface Waiting {
  readonly record: RefusedRecord;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Postgres cannot hold NUL in text. */
const storable = (text: string): string => text.replaceAll('\0', '\uFFFD');

const fingerprintOf = ({ record, reason }: RefusedRecord): Buffer =>
  createHash('sha256').update(reason).update('\0').update(record).digest();

export function postgresRefusedRecords(pool: Pool): RefusedRecords {
  let prepared: Promise<unknown> | undefined;
  const waiting: Waiting[] = [];
  let running = false;

  /** Creates the table with the first use of it; tries again when that failed. */
  function prepare(): Promise<unknown> {
    prepared ??= pool.query(schema).catch((error: unknown) => {
      prepared = undefined;
      throw error;
    });
    return prepared;
  }

  async function drain(): Promise<void> {
    running = true;
    while (waiting.length > 0) {
      const batch = waiting.splice(0, batchLength(waiting));
      try {
        await prepare();
        await pool.query(insert, columnsOf(batch.map(({ record }) => record)));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    running = false;
  }

  return {
    keep: (record) =>
      new Promise((resolve, reject) => {
        waiting.push({ record, resolve, reject });
        if (!running) void drain();
      }),

    async list({ reason, after, limit }) {
      await prepare();
      const { rows } = await pool.query<Row>(select, [String(after ?? 0n), reason ?? null, limit + 1]);
      const records = rows.slice(0, limit).map((row) => ({
        id: BigInt(row.record_id),
        receivedAt: row.received_at,
        reason: row.reason,
        message: row.message,
        field: row.field,
        record: row.record,
        times: BigInt(row.times),
      }));
      return { records, next: rows.length > limit ? records.at(-1)?.id : undefined };
    },
  };
}

/** How many go into one insert: at least one. */
function batchLength(waiting: readonly Waiting[]): number {
  let bytes = 0;
  const tooMany = waiting.findIndex(({ record }, index) => {
    bytes += record.record.length;
    return index > 0 && (index >= mostRecords || bytes > mostBytes);
  });
  return tooMany < 0 ? waiting.length : tooMany;
}

/** One column per parameter; equal records are one row. */
function columnsOf(records: readonly RefusedRecord[]): unknown[][] {
  const rows = new Map<string, { fingerprint: Buffer; record: RefusedRecord; times: bigint }>();
  for (const record of records) {
    const fingerprint = fingerprintOf(record);
    const key = fingerprint.toString('base64');
    const same = rows.get(key);
    if (same) same.times++;
    else rows.set(key, { fingerprint, record, times: 1n });
  }
  // In one order everywhere, so that processes that insert the same records do not deadlock.
  const sorted = [...rows.values()].toSorted((a, b) => Buffer.compare(a.fingerprint, b.fingerprint));
  return [
    sorted.map(({ fingerprint }) => fingerprint),
    sorted.map(({ record }) => storable(record.reason)),
    sorted.map(({ record }) => storable(record.message)),
    sorted.map(({ record }) => storable(record.field)),
    sorted.map(({ record }) => Buffer.from(record.record)),
    sorted.map(({ times }) => String(times)),
  ];
}
