/** An event in the log, encoded once as the `ReadResp` that carries it; everything else is a view of those bytes. */
import { bytesField, messageField, numberField, varintSize, writeVarint } from './proto.ts';
import { encodeStructuredUuid } from './uuid.ts';
import type { Stream } from './stream.ts';

/** The revision of a tombstone is the largest int64, which a number can only be near to. */
export const tombstoneRevision = 2 ** 63;

export interface ProposedEvent {
  readonly id: string;
  readonly type: string;
  readonly isJson: boolean;
  readonly data: Uint8Array;
  readonly metadata: Uint8Array;
}

export class StoredEvent {
  readonly stream: Stream;
  readonly revision: number;
  /** Commit and prepare position. */
  readonly position: number;
  /** Where the record ends, and the next may begin. */
  readonly end: number;
  readonly id: string;
  readonly type: EventType;
  /** Milliseconds. */
  readonly created: number;
  /** `ReadResp`, with the id as text. */
  readonly encoded: Buffer;
  readonly #recordAt: number;
  readonly #recordEnd: number;
  readonly #metadataAt: number;
  readonly #dataAt: number;
  readonly #metadataLength: number;

  constructor(
    stream: Stream,
    type: EventType,
    event: ProposedEvent,
    at: {
      readonly revision: number;
      readonly position: number;
      readonly end: number;
      readonly created: number;
    },
  ) {
    this.stream = stream;
    this.type = type;
    this.id = event.id;
    this.revision = at.revision;
    this.position = at.position;
    this.end = at.end;
    this.created = at.created;

    const positionSize = varintSize(at.position);
    const recordSize =
      40 +
      stream.identifier.length +
      (at.revision === tombstoneRevision ? 10 : 1 + varintSize(at.revision)) +
      2 * (1 + positionSize) +
      type.entries.length +
      createdSize +
      delimitedSize(event.metadata) +
      delimitedSize(event.data);
    const readEventSize = 1 + varintSize(recordSize) + recordSize + 1 + positionSize;
    const bytes = Buffer.allocUnsafe(1 + varintSize(readEventSize) + readEventSize);

    bytes[0] = 0x0a;
    let next = writeVarint(bytes, 1, readEventSize);
    bytes[next++] = 0x0a;
    next = writeVarint(bytes, next, recordSize);
    this.#recordAt = next;
    bytes[next++] = 0x0a;
    bytes[next++] = 38;
    bytes[next++] = 0x12;
    bytes[next++] = 36;
    next += bytes.write(event.id, next, 'latin1');
    next = copy(stream.identifier, bytes, next);
    bytes[next++] = 0x18;
    next =
      at.revision === tombstoneRevision
        ? copy(largestInt64, bytes, next)
        : writeVarint(bytes, next, at.revision);
    bytes[next++] = 0x20;
    next = writeVarint(bytes, next, at.position);
    bytes[next++] = 0x28;
    next = writeVarint(bytes, next, at.position);
    next = copy(type.entries, bytes, next);
    next = copy(createdHead, bytes, next);
    next += bytes.write(`${at.created}0000`.padStart(17, '0'), next, 'latin1');
    bytes[next++] = 0x3a;
    next = writeVarint(bytes, next, event.metadata.length);
    this.#metadataAt = next;
    this.#metadataLength = event.metadata.length;
    next = copy(event.metadata, bytes, next);
    bytes[next++] = 0x42;
    next = writeVarint(bytes, next, event.data.length);
    this.#dataAt = next;
    next = copy(event.data, bytes, next);
    this.#recordEnd = next;
    bytes[next++] = 0x18;
    writeVarint(bytes, next, at.position);
    this.encoded = bytes;
  }

  get data(): Buffer {
    return this.encoded.subarray(this.#dataAt, this.#recordEnd);
  }

  get metadata(): Buffer {
    return this.encoded.subarray(this.#metadataAt, this.#metadataAt + this.#metadataLength);
  }

  /** `RecordedEvent`; with the id in two halves if that is what the reader asked for. */
  record(structuredId: boolean): Buffer {
    const record = this.encoded.subarray(this.#recordAt, this.#recordEnd);
    if (!structuredId) return record;
    return Buffer.concat([bytesField(1, encodeStructuredUuid(this.id)), record.subarray(40)]);
  }
}

/** `ReadResp` of what a link points to (nothing, if that is gone), in place of the link. */
export function encodeResolved(
  link: StoredEvent,
  target: StoredEvent | undefined,
  structuredId: boolean,
): Buffer {
  return messageField(
    1,
    ...(target ? [bytesField(1, target.record(structuredId))] : []),
    bytesField(2, link.record(structuredId)),
    numberField(3, link.position),
  );
}

export const encodeStructured = (event: StoredEvent): Buffer =>
  messageField(1, bytesField(1, event.record(true)), numberField(3, event.position));

/** Interned: a log of a million events has a few dozen. */
export class EventType {
  readonly name: string;
  readonly isJson: boolean;
  readonly entries: Buffer;

  constructor(name: string, isJson: boolean) {
    this.name = name;
    this.isJson = isJson;
    this.entries = Buffer.concat([
      mapEntry('type', name),
      mapEntry('content-type', isJson ? 'application/json' : 'application/octet-stream'),
    ]);
  }
}

const mapEntry = (key: string, value: string): Buffer =>
  messageField(6, bytesField(1, key), bytesField(2, value));

const largestInt64 = Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
/** 100 ns ticks since 1970 have 17 digits until the year 2286. */
const createdEntry = mapEntry('created', '0'.repeat(17));
const createdSize = createdEntry.length;
const createdHead = createdEntry.subarray(0, createdSize - 17);

const delimitedSize = (bytes: Uint8Array): number => 1 + varintSize(bytes.length) + bytes.length;

function copy(from: Uint8Array, into: Buffer, at: number): number {
  into.set(from, at);
  return at + from.length;
}
