/** Read with a count: a stream or all of them, forwards or backwards. */
import { streamNotFound } from './answers.ts';
import { allBackwards, allForwards, type Cursor, streamBackwards, streamForwards } from './cursor.ts';
import { encodeEvent } from './encode-event.ts';
import type { EventSink } from './event-sink.ts';
import type { EventLog } from './log.ts';
import type { NodeContext } from './node-context.ts';
import type { ReadOptions } from './read-options.ts';
import { type Refusal, refusals } from './refusals.ts';

export async function read(node: NodeContext, sink: EventSink, options: ReadOptions): Promise<void> {
  if (sink.mustWait && !(await sink.ready())) return;
  const { log, settings } = node.cluster;
  const { stream } = options;
  const found = stream === undefined ? undefined : log.stream(stream);
  if (stream !== undefined) {
    if (found?.tombstone) {
      sink.refuse(refusals.streamDeleted(stream));
      return;
    }
    if (!found || found.lastRevision < 0 || found.isSoftDeleted) {
      sink.control(streamNotFound(stream));
      sink.end();
      return;
    }
    if (options.revision === 'end' && !options.backwards) {
      sink.refuse(refusals.unknown('Unexpected ReadStreamResult: Error'));
      return;
    }
  } else {
    const refusal = invalidPosition(log, options, settings.invalidPosition);
    if (refusal) {
      sink.refuse(refusal);
      return;
    }
  }

  const cursor = open(log, options);
  // A read ends where the log ended when it began, or shortly after: here, exactly there.
  const { end } = log;
  let left = options.count ?? 0;
  for (;;) {
    const event = left > 0 ? cursor.peek() : undefined;
    if (!event || event.position >= end) break;
    cursor.advance();
    if (options.filter && !options.filter.matches(event)) continue;
    left--;
    if (!sink.event(encodeEvent(log, event, options)) && !(await sink.ready())) return;
  }
  sink.end();
}

function open(log: EventLog, options: ReadOptions): Cursor {
  const { stream, revision, position, backwards } = options;
  if (stream !== undefined) {
    const found = log.stream(stream);
    if (!backwards || !found) return streamForwards(log, stream, toNumber(revision, Infinity));
    return streamBackwards(log, found, toNumber(revision, Infinity));
  }
  const from = typeof position === 'string' ? toNumber(position, log.end) : position.commit;
  return backwards ? allBackwards(log, from) : allForwards(log, from);
}

const toNumber = (from: number | 'start' | 'end', end: number): number =>
  from === 'start' ? 0 : from === 'end' ? end : from;

/** What a server says to a position that no record begins at. */
export function invalidPosition(
  log: EventLog,
  { position, backwards }: ReadOptions,
  as: 'unknown' | 'invalid-argument',
): Refusal | undefined {
  if (typeof position === 'string') return undefined;
  // Only forwards is there anything to wait for beyond the end.
  if (log.isBoundary(position.commit) && !(backwards && position.commit > log.end)) return undefined;
  return as === 'unknown'
    ? refusals.unknown('Unexpected ReadAllResult: Error')
    : { ...refusals.badRequest('Trying to read from an invalid position.') };
}
