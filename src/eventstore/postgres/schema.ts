/**
 * The tables of the log and the one function that writes them.
 *
 * `events.position` is dense, starts at 1, and follows commit order: whoever appends holds one advisory lock,
 * taken by the first statement and kept until the commit is visible. So a reader that has seen position n and
 * asks for what lies behind it can never be overtaken by a smaller position, and a hole means damage.
 *
 * Applied under an advisory lock; several processes may start at once. A later version of this schema must
 * leave alone what older processes call: give a changed function a new name.
 *
 * Version 2 says where a log was copied from (`copy-log`). Nothing that appends or reads needs it.
 */
import pg, { type ClientBase } from 'pg';
import { CopyRefused, type LogOrigin } from '../port.ts';

/** Version this code makes; a database with a later one still offers it (see above). */
const schemaVersion = 2;
/** Version that serving a log needs. */
const neededVersion = 1;

/** Any two numbers nobody else uses; both processes and versions must agree on them. */
const migrationLock = '7308332184';
const appendLock = '7308332185';

/** Separates the texts of a batch within one parameter. JSON.stringify never emits it raw. */
export const separator = '\x1e';

const tables = /* sql */ `
CREATE SCHEMA IF NOT EXISTS tallyback_log;

CREATE TABLE IF NOT EXISTS tallyback_log.log (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  store_id uuid NOT NULL,
  schema_version int NOT NULL
);
-- Both null: the log began here.
ALTER TABLE tallyback_log.log
  ADD COLUMN IF NOT EXISTS origin_id text COLLATE "C",
  ADD COLUMN IF NOT EXISTS origin_complete boolean;

CREATE TABLE IF NOT EXISTS tallyback_log.events (
  position bigint NOT NULL,
  stream text COLLATE "C" NOT NULL,
  revision int NOT NULL,
  id uuid NOT NULL,
  type text NOT NULL,
  data text NOT NULL,
  metadata text NOT NULL,
  recorded_at timestamptz NOT NULL,
  CONSTRAINT events_pkey PRIMARY KEY (position),
  CONSTRAINT events_stream_revision UNIQUE (stream, revision),
  CONSTRAINT events_id UNIQUE (id)
);
`;

/**
 * One group commit. Answers one row for the batch (member 0: first position given, time) and one for each
 * member that was not newly stored; all others got the next positions, in order of members.
 *
 * How a member fares:
 *   head = expected, ids new                        stored
 *   head = expected, an id exists                   id-in-use
 *   head <> expected, these ids stand right there   stored-before
 *   head <> expected otherwise                      conflict
 *
 * All of the batch is tried as one INSERT first. Only if an id turns out to exist (unique_violation, rolled
 * back to the block's savepoint) are its members taken one by one: exact also when two of them share an id.
 * Under the lock nothing can change between a look and an insert.
 */
const appendBatch = /* sql */ `
CREATE OR REPLACE FUNCTION tallyback_log.append_batch(
  streams text, expected int[], counts int[],
  event_members int[], event_streams text, event_revisions int[], event_ids uuid[],
  event_types text, event_data text, event_metadata text
) RETURNS TABLE (
  out_member int, out_outcome text, out_revision int, out_position bigint, out_time timestamptz,
  out_stream text, out_id uuid
) LANGUAGE plpgsql AS $body$
DECLARE
  last_position bigint;
  now_ms timestamptz;
  last_time timestamptz;
  refused int[] := '{}';
  next_position bigint;
  of_stream text[];
  of_type text[];
  of_data text[];
  of_metadata text[];
  m record;
  holder record;
BEGIN
  PERFORM pg_advisory_xact_lock(${appendLock});

  SELECT e.position, e.recorded_at INTO last_position, last_time
    FROM tallyback_log.events e ORDER BY e.position DESC LIMIT 1;
  last_position := coalesce(last_position, 0);
  -- Whole milliseconds, so that no reader rounds differently; never earlier than the event before.
  now_ms := greatest(date_trunc('milliseconds', clock_timestamp()), last_time);

  out_member := 0; out_outcome := 'batch'; out_position := last_position + 1; out_time := now_ms;
  RETURN NEXT;

  FOR m IN
    SELECT * FROM (
      SELECT a.member, a.stream, a.expected, a.count, coalesce(h.revision, -1) AS head,
             sum(a.count) OVER (ORDER BY a.member) - a.count AS before
        FROM ROWS FROM (unnest(string_to_array(streams, E'\\x1e')), unnest(expected), unnest(counts))
          WITH ORDINALITY AS a(stream, expected, count, member)
        LEFT JOIN LATERAL (
          SELECT e.revision FROM tallyback_log.events e
           WHERE e.stream = a.stream ORDER BY e.revision DESC LIMIT 1
        ) h ON true
    ) looked_up WHERE looked_up.head <> looked_up.expected
  LOOP
    refused := refused || m.member::int;
    out_member := m.member; out_revision := m.head; out_outcome := 'conflict';
    IF m.head >= m.expected + m.count AND m.count = (
      SELECT count(*) FROM unnest(event_ids[m.before + 1 : m.before + m.count]) WITH ORDINALITY AS i(id, k)
        JOIN tallyback_log.events e ON e.stream = m.stream AND e.revision = m.expected + i.k AND e.id = i.id
    ) THEN
      out_outcome := 'stored-before';
    END IF;
    RETURN NEXT;
  END LOOP;

  BEGIN
    INSERT INTO tallyback_log.events (position, stream, revision, id, type, data, metadata, recorded_at)
    SELECT last_position + row_number() OVER (ORDER BY e.k),
           e.stream, e.revision, e.id, e.type, e.data, e.metadata, now_ms
      FROM ROWS FROM (
        unnest(event_members), unnest(string_to_array(event_streams, E'\\x1e')), unnest(event_revisions),
        unnest(event_ids), unnest(string_to_array(event_types, E'\\x1e')),
        unnest(string_to_array(event_data, E'\\x1e')), unnest(string_to_array(event_metadata, E'\\x1e'))
      ) WITH ORDINALITY AS e(member, stream, revision, id, type, data, metadata, k)
     WHERE e.member <> ALL (refused);
    RETURN;
  EXCEPTION WHEN unique_violation THEN
    of_stream := string_to_array(streams, E'\\x1e');
    of_type := string_to_array(event_types, E'\\x1e');
    of_data := string_to_array(event_data, E'\\x1e');
    of_metadata := string_to_array(event_metadata, E'\\x1e');
  END;

  next_position := last_position + 1;
  FOR m IN
    SELECT a.member, a.expected, a.count, sum(a.count) OVER (ORDER BY a.member) - a.count AS before
      FROM ROWS FROM (unnest(expected), unnest(counts)) WITH ORDINALITY AS a(expected, count, member)
  LOOP
    CONTINUE WHEN m.member = ANY (refused);
    SELECT e.stream, e.revision, e.id INTO holder
      FROM unnest(event_ids[m.before + 1 : m.before + m.count]) WITH ORDINALITY AS i(id, k)
      JOIN tallyback_log.events e ON e.id = i.id ORDER BY i.k LIMIT 1;
    IF FOUND THEN
      out_member := m.member; out_outcome := 'id-in-use';
      out_stream := holder.stream; out_revision := holder.revision; out_id := holder.id;
      RETURN NEXT;
    ELSE
      INSERT INTO tallyback_log.events (position, stream, revision, id, type, data, metadata, recorded_at)
      SELECT next_position + k - 1, of_stream[m.member], m.expected + k, event_ids[m.before + k],
             of_type[m.before + k], of_data[m.before + k], of_metadata[m.before + k], now_ms
        FROM generate_series(1, m.count) AS k;
      next_position := next_position + m.count;
    END IF;
  END LOOP;
END
$body$;
`;

/** A log as the database describes it. */
export interface LogInfo {
  readonly id: string;
  readonly origin: LogOrigin | undefined;
}

/** There is no event log in the database, and none was to be made. */
export class NoLog extends Error {
  override readonly name = 'NoLog';
}

/**
 * Creates what is missing, unless the log must exist, and says what there is.
 * Throws if the database is not in UTF-8.
 */
export async function ensureSchema(client: ClientBase, mustExist = false): Promise<LogInfo> {
  const present = await storeInfo(client);
  if (present && present.version >= schemaVersion) return present;
  if (!present && mustExist) throw new NoLog('There is no event log in that database');

  const encoding = await client.query<{ server_encoding: string }>('SHOW server_encoding');
  if (encoding.rows[0]?.server_encoding !== 'UTF8') {
    throw new Error(
      `The event log needs a database in UTF8, this one is in ${encoding.rows[0]?.server_encoding}`,
    );
  }
  try {
    // One simple query = one transaction: all of it or nothing.
    await client.query(`
      SELECT pg_advisory_xact_lock(${migrationLock});
      ${tables}
      ${appendBatch}
      INSERT INTO tallyback_log.log (store_id, schema_version) VALUES (gen_random_uuid(), ${schemaVersion})
        ON CONFLICT (only_row) DO UPDATE SET schema_version = greatest(log.schema_version, ${schemaVersion});
    `);
  } catch (error) {
    // A role that may use the log but not change it serves it as it is.
    if (!isNotAllowed(error) || !present || present.version < neededVersion) throw error;
    return present;
  }
  const made = await storeInfo(client);
  if (!made) throw new Error('The event log could not be created');
  return made;
}

/** insufficient_privilege */
const isNotAllowed = (error: unknown): boolean => error instanceof pg.DatabaseError && error.code === '42501';

const mayNotCopy = (): CopyRefused =>
  new CopyRefused('This role may not make the log in that database a copy');

/** Looked up without creating anything first: a role without CREATE rights may use an existing log. */
async function storeInfo(client: ClientBase): Promise<(LogInfo & { readonly version: number }) | undefined> {
  const exists = await client.query<{ yes: boolean }>(
    `SELECT to_regclass('tallyback_log.log') IS NOT NULL AS yes`,
  );
  if (!exists.rows[0]?.yes) return undefined;
  // By way of JSON: version 1 has no columns for the origin.
  const rows = await client.query<{
    store_id: string;
    schema_version: number;
    origin_id: string | null;
    origin_complete: boolean | null;
  }>(`
    SELECT store_id, schema_version,
           to_jsonb(log) ->> 'origin_id' AS origin_id,
           (to_jsonb(log) ->> 'origin_complete')::boolean AS origin_complete
      FROM tallyback_log.log`);
  const row = rows.rows[0];
  if (!row) return undefined;
  const { store_id: id, schema_version: version, origin_id: storeId, origin_complete: complete } = row;
  return { id, version, origin: storeId === null ? undefined : { storeId, complete: complete === true } };
}

/**
 * Makes the log a copy of another one, or finds that it is one that is not complete. Throws CopyRefused.
 * Decided under the lock of appends: a log that is empty for us is empty.
 */
export async function claimAsCopy(client: ClientBase, originStoreId: string): Promise<LogInfo> {
  await client.query('BEGIN');
  await client.query(`SELECT pg_advisory_xact_lock(${appendLock})`);
  const log = await storeInfo(client);
  if (!log || log.version < 2)
    throw new CopyRefused('This role may not make the log in that database a copy');
  const { origin } = log;
  if (log.id === originStoreId) throw new CopyRefused('A log cannot be copied to itself');
  if (origin && origin.storeId !== originStoreId) {
    throw new CopyRefused(`The log is a copy of another one already, of ${origin.storeId}`);
  }
  if (origin?.complete) throw new CopyRefused(`The log is a complete copy of ${originStoreId} already`);
  if (!origin) {
    const made = await client
      .query(
        `UPDATE tallyback_log.log SET origin_id = $1, origin_complete = false
          WHERE NOT EXISTS (SELECT FROM tallyback_log.events)`,
        [originStoreId],
      )
      .catch((error: unknown) => {
        throw isNotAllowed(error) ? mayNotCopy() : error;
      });
    if (made.rowCount !== 1) throw new CopyRefused('The log is not empty: it holds events of its own');
  }
  await client.query('COMMIT');
  return { id: log.id, origin: { storeId: originStoreId, complete: false } };
}

/** Says that the copy is complete. May be said again. */
export async function markComplete(client: ClientBase): Promise<void> {
  await client.query('UPDATE tallyback_log.log SET origin_complete = true WHERE origin_id IS NOT NULL');
}
