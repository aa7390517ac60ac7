/** One group commit: what goes to `append_batch` (schema.ts), and what its answer means for each member. */
import { noStream, type AppendResult, type NewEvent, type RecordedEvent } from '../port.ts';
import type { Database } from './database.ts';
import { parseTime, toPosition } from './rows.ts';
import { separator } from './schema.ts';

/** An append as it waits for its batch. */
export interface Member {
  readonly stream: string;
  readonly expectedRevision: number;
  readonly events: readonly NewEvent[];
}

/** A member's fate; "stored-before" has still to be read from its stream. */
export type Outcome = AppendResult | { readonly kind: 'stored-before' };

const sql = 'SELECT * FROM tallyback_log.append_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)';

/** Longest stream name, in bytes of UTF-8: an index row must hold it (2.7 kB). */
const maxStreamBytes = 2_400;
/** Bounds what one statement has to carry (a text in Postgres ends at 1 GB). In UTF-16 units. */
const maxAppendLength = 64 * 1024 * 1024;
const maxRevision = 2 ** 31 - 1;

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** Not storable as text (NUL, half a surrogate pair), or our separator. Valid JSON text has none of them. */
// eslint-disable-next-line no-control-regex -- exactly these control characters are meant
const forbidden = /[\u0000\u001e]|\p{Surrogate}/u;

/**
 * Checks an append and gives it in the form it will be stored and read back (ids in lower case).
 * Throws RangeError for what could never be stored, so that it cannot spoil the batch of others.
 */
export function checkAppend(stream: string, expectedRevision: number, events: readonly NewEvent[]): Member {
  if (stream === '' || Buffer.byteLength(stream) > maxStreamBytes || forbidden.test(stream)) {
    throw new RangeError(`A stream name has 1 to ${maxStreamBytes} bytes, no NUL, U+001E or half pairs`);
  }
  if (!Number.isSafeInteger(expectedRevision) || expectedRevision < noStream) {
    throw new RangeError(`The expected revision is noStream (-1) or a revision, not ${expectedRevision}`);
  }
  if (events.length === 0) throw new RangeError('An append needs at least one event');
  if (expectedRevision + events.length > maxRevision) throw new RangeError('The stream would grow too long');
  const ids = new Set<string>();
  const checked = events.map((event) => {
    const id = event.id.toLowerCase();
    if (!uuid.test(id)) throw new RangeError(`An event's id is a UUID, not ${JSON.stringify(event.id)}`);
    if (ids.has(id)) throw new RangeError(`Two events of one append have the id ${id}`);
    ids.add(id);
    for (const text of [event.type, event.data, event.metadata]) {
      if (text === '' || forbidden.test(text)) {
        throw new RangeError(`Type, data or metadata of event ${id} is empty or holds what is not JSON text`);
      }
    }
    return id === event.id ? event : { ...event, id };
  });
  if (lengthOf(checked) > maxAppendLength) {
    throw new RangeError(`One append holds at most ${maxAppendLength} characters`);
  }
  return { stream, expectedRevision, events: checked };
}

/** Characters of an append's contents: what its size in memory and on the wire follows. */
export function lengthOf(events: readonly NewEvent[]): number {
  let length = 0;
  for (const event of events) length += event.data.length + event.metadata.length + event.type.length;
  return length;
}

/**
 * Stores a batch and tells each member's outcome, in order of members.
 * Members have different streams. Throws EventStoreUnavailable: nothing is known about any of them.
 */
export async function appendBatch(database: Database, members: readonly Member[]): Promise<Outcome[]> {
  const [summary, ...refused] = await database.append('tallyback_append', sql, encode(members));
  if (!summary) throw new Error('append_batch gave no answer');

  const outcomes = new Map<number, Outcome>();
  for (const [member, kind, revision, , , stream, id] of refused) {
    outcomes.set(Number(member), refusal(kind ?? '', Number(revision), stream ?? '', id ?? ''));
  }
  let position = Number(summary[3]);
  const recordedAt = parseTime(summary[4] ?? '');
  return members.map((member, index) => {
    const refusedAs = outcomes.get(index + 1);
    if (refusedAs) return refusedAs;
    const events = record(member, position, recordedAt);
    position += events.length;
    return { kind: 'appended', events };
  });
}

function encode(members: readonly Member[]): string[] {
  const streams: string[] = [];
  const expected: number[] = [];
  const counts: number[] = [];
  const eventMembers: number[] = [];
  const eventStreams: string[] = [];
  const revisions: number[] = [];
  const ids: string[] = [];
  const types: string[] = [];
  const data: string[] = [];
  const metadata: string[] = [];
  for (const { stream, expectedRevision, events } of members) {
    streams.push(stream);
    expected.push(expectedRevision);
    counts.push(events.length);
    let revision = expectedRevision;
    for (const event of events) {
      eventMembers.push(streams.length);
      eventStreams.push(stream);
      revisions.push(++revision);
      ids.push(event.id);
      types.push(event.type);
      data.push(event.data);
      metadata.push(event.metadata);
    }
  }
  return [
    streams.join(separator),
    list(expected),
    list(counts),
    list(eventMembers),
    eventStreams.join(separator),
    list(revisions),
    list(ids),
    types.join(separator),
    data.join(separator),
    metadata.join(separator),
  ];
}

/** An array as Postgres reads it; for numbers and UUIDs, which need no quoting. */
const list = (values: readonly (number | string)[]): string => `{${values.join(',')}}`;

function record(member: Member, firstPosition: number, recordedAt: Date): RecordedEvent[] {
  return member.events.map((event, index) => ({
    id: event.id,
    type: event.type,
    data: event.data,
    metadata: event.metadata,
    stream: member.stream,
    revision: member.expectedRevision + 1 + index,
    position: toPosition(firstPosition + index),
    recordedAt,
  }));
}

function refusal(kind: string, revision: number, stream: string, id: string): Outcome {
  switch (kind) {
    case 'conflict':
      return { kind, actualRevision: revision };
    case 'stored-before':
      return { kind };
    case 'id-in-use':
      return { kind, id, stream, revision };
    default:
      throw new Error(`append_batch answered ${kind}`);
  }
}
