/** What an append must be like on any store, checked before a store sees it. */
import { noStream, type NewEvent } from './port.ts';

/** An append whose form has been checked. */
export interface Append {
  readonly stream: string;
  readonly expectedRevision: number;
  readonly events: readonly NewEvent[];
}

/** Longest stream name, in bytes of UTF-8: what an index row in Postgres holds (2.7 kB), so that any log can be copied there. */
const maxStreamBytes = 2_400;
const maxRevision = 2 ** 31 - 1;

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** Not storable as text (NUL, half a surrogate pair), or our separator. Valid JSON text has none of them. */
// eslint-disable-next-line no-control-regex -- exactly these control characters are meant
const forbidden = /[\u0000\u001e]|\p{Surrogate}/u;

/**
 * Checks an append and gives it in the form it will be stored and read back (ids in lower case).
 * Throws RangeError for what could never be stored, so that it cannot spoil the batch of others.
 */
export function checkAppend(stream: string, expectedRevision: number, events: readonly NewEvent[]): Append {
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
  return { stream, expectedRevision, events: checked };
}

/** Characters of an append's contents: what its size in memory and on the wire follows. */
export function lengthOf(events: readonly NewEvent[]): number {
  let length = 0;
  for (const event of events) length += event.data.length + event.metadata.length + event.type.length;
  return length;
}
