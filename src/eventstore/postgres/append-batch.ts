/** One group commit: what goes to `append_batch` (schema.ts), and what its answer means for each member. */
import type { Append } from '../check-append.ts';
import type { AppendResult, RecordedEvent } from '../port.ts';
import type { Database } from './database.ts';
import { parseTime, toPosition } from './rows.ts';
import { separator } from './schema.ts';

/** A member's fate; what was stored before has still to be read from its stream. */
export type Outcome =
  | { readonly kind: 'stored'; readonly events: readonly RecordedEvent[] }
  | { readonly kind: 'stored-before' }
  | Exclude<AppendResult, { readonly kind: 'appended' }>;

const sql = 'SELECT * FROM tallyback_log.append_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)';

/**
 * Stores a batch and tells each member's outcome, in order of members.
 * Members have different streams. Throws EventStoreUnavailable: nothing is known about any of them.
 */
export async function appendBatch(database: Database, members: readonly Append[]): Promise<Outcome[]> {
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
    return { kind: 'stored', events };
  });
}

function encode(members: readonly Append[]): string[] {
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

function record(member: Append, firstPosition: number, recordedAt: Date): RecordedEvent[] {
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
