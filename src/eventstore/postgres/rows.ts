/** From rows to RecordedEvents, and the queries that read pages of them. */
import { LogDamaged, type Position, type RecordedEvent } from '../port.ts';
import type { Database, TextRow } from './database.ts';

const columns = 'position, stream, revision, id, type, data, metadata, recorded_at';

/** Most rows of a page, and the bytes of data and metadata after which it ends early (one event at least). */
export interface PageLimits {
  readonly rows: number;
  readonly bytes: number;
}

/** Some events in order, and whether the page was cut short by its limits (then there may be more). */
export interface Page {
  readonly events: RecordedEvent[];
  readonly full: boolean;
}

/**
 * Both queries first add up the sizes (no TOAST is fetched for that) and look for the last row that
 * fits only if the sum is too large: a page of huge events must not become gigabytes.
 */
const pageSql = (key: string, where: string, after: string, upTo: string, bytes: string): string => `
  SELECT ${columns} FROM tallyback_log.events
   WHERE ${where} ${key} > ${after} AND ${key} <= (
     SELECT CASE WHEN sum(octet_length(data) + octet_length(metadata)) <= ${bytes} THEN ${upTo} ELSE (
       SELECT max(k) FROM (
         SELECT ${key} AS k, sum(octet_length(data) + octet_length(metadata))
                  OVER (ORDER BY ${key} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
           FROM tallyback_log.events WHERE ${where} ${key} > ${after} AND ${key} <= ${upTo}
       ) sized WHERE coalesce(before, 0) < ${bytes}
     ) END FROM tallyback_log.events WHERE ${where} ${key} > ${after} AND ${key} <= ${upTo}
   ) ORDER BY ${key}`;

const logPage = pageSql('position', '', '$1::bigint', '$2::bigint', '$3::bigint');
const streamPage = pageSql('revision', 'stream = $4 AND', '$1::int', '$2::int', '$3::bigint');

/** Events with `after` < position <= `after` + limits.rows (and <= `upTo`). Throws LogDamaged on a hole. */
export async function readLogPage(
  database: Database,
  after: number,
  upTo: number,
  limits: PageLimits,
): Promise<Page> {
  const last = Math.min(upTo, after + limits.rows);
  const rows = await database.read('tallyback_log_page', logPage, [`${after}`, `${last}`, `${limits.bytes}`]);
  const events = rows.map(toEvent);
  let expected = after;
  for (const event of events) {
    if (Number(event.position.commit) !== ++expected) {
      throw new LogDamaged(`Position ${expected} is missing from the log (found ${event.position.commit})`);
    }
  }
  return { events, full: isFull(events, limits) };
}

/** Events of a stream from revision `from` on. */
export async function readStreamPage(
  database: Database,
  stream: string,
  from: number,
  limits: PageLimits,
): Promise<Page> {
  const last = Math.min(2 ** 31 - 1, from - 1 + limits.rows);
  const values = [`${from - 1}`, `${last}`, `${limits.bytes}`, stream];
  const events = (await database.read('tallyback_stream_page', streamPage, values)).map(toEvent);
  return { events, full: isFull(events, limits) };
}

/** Position of the last event, 0 for an empty log. */
export async function readHead(database: Database): Promise<number> {
  const rows = await database.read(
    'tallyback_head',
    'SELECT position FROM tallyback_log.events ORDER BY position DESC LIMIT 1',
    [],
  );
  return Number(rows[0]?.[0] ?? 0);
}

/** Text lengths bound the bytes from below, three times them from above: full also when in doubt. */
function isFull(events: readonly RecordedEvent[], limits: PageLimits): boolean {
  if (events.length >= limits.rows) return true;
  let characters = 0;
  for (const event of events) characters += event.data.length + event.metadata.length;
  return characters * 3 >= limits.bytes;
}

export const toPosition = (position: number): Position => {
  const commit = BigInt(position);
  return { commit, prepare: commit };
};

/** Where a reader that has seen `position` stands in this log: 0 is before the first event. */
export function fromPosition(position: Position): number {
  if (position.commit < 0n) return 0;
  return position.commit > BigInt(Number.MAX_SAFE_INTEGER)
    ? Number.MAX_SAFE_INTEGER
    : Number(position.commit);
}

function toEvent(row: TextRow): RecordedEvent {
  const [position, stream, revision, id, type, data, metadata, recordedAt] = row;
  return {
    id: id ?? '',
    type: type ?? '',
    data: data ?? '',
    metadata: metadata ?? '',
    stream: stream ?? '',
    revision: Number(revision),
    position: toPosition(Number(position)),
    recordedAt: parseTime(recordedAt ?? ''),
  };
}

let lastTimeText = '';
let lastTime = new Date(0);

/**
 * "2000-01-31 09:15:00.123+00" as the session writes it (UTC, whole milliseconds). Events of a batch share
 * their time and come one after the other, hence the memory of one.
 */
export function parseTime(text: string): Date {
  if (text !== lastTimeText) {
    lastTime = new Date(text.replace(' ', 'T').replace('+00', 'Z'));
    lastTimeText = text;
  }
  return lastTime;
}
