/** What clients send to be written, decoded by hand: this is the hot path of a load test. */
import type { ExpectedRevision } from './check-append.ts';
import { Fields } from './proto.ts';
import { Refused, refusals } from './refusals.ts';
import type { ProposedEvent } from './stored-event.ts';
import { decodeUuid } from './uuid.ts';

/** Of an append, a delete, a tombstone: they are laid out alike. */
export interface WriteOptions {
  readonly stream: string;
  readonly expected: ExpectedRevision;
}

export type AppendMessage = { readonly options: WriteOptions } | { readonly event: Buffer };

export interface BatchAppendMessage {
  readonly correlationId: string;
  /** `UUID`, to be sent back as it came. */
  readonly rawCorrelationId: Buffer;
  /** In the first message of an append only; `timeout` in ms from now. */
  readonly options?: WriteOptions & { readonly timeout: number };
  /** Not decoded yet: what is wrong with one is an answer, not a failure of the call. */
  readonly events: readonly Buffer[];
  readonly isFinal: boolean;
}

export function decodeAppend(bytes: Buffer): AppendMessage {
  const fields = new Fields(bytes);
  while (fields.next()) {
    if (fields.number === 1) return { options: decodeOptions(fields.bytes()) };
    if (fields.number === 2) return { event: fields.bytes() };
    fields.skip();
  }
  throw new Refused(refusals.handlerThrew());
}

/** `DeleteReq` and `TombstoneReq`. */
export function decodeDelete(bytes: Buffer): WriteOptions {
  const fields = new Fields(bytes);
  while (fields.next()) {
    if (fields.number === 1) return decodeOptions(fields.bytes());
    fields.skip();
  }
  throw new Refused(refusals.badRequest('no options'));
}

export function decodeBatchAppend(bytes: Buffer): BatchAppendMessage {
  let rawCorrelationId: Buffer = Buffer.alloc(0);
  let options: (WriteOptions & { readonly timeout: number }) | undefined;
  const events: Buffer[] = [];
  let isFinal = false;
  const fields = new Fields(bytes);
  while (fields.next()) {
    if (fields.number === 1) rawCorrelationId = fields.bytes();
    else if (fields.number === 2) options = decodeBatchOptions(fields.bytes());
    else if (fields.number === 3) events.push(fields.bytes());
    else if (fields.number === 4) isFinal = fields.varint() === 1;
    else fields.skip();
  }
  const correlationId = decodeUuid(rawCorrelationId);
  return { correlationId, rawCorrelationId, ...(options ? { options } : {}), events, isFinal };
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const emptyUuid = '00000000-0000-0000-0000-000000000000';
const nothing: Buffer = Buffer.alloc(0);

export function decodeEvent(bytes: Buffer): ProposedEvent {
  let id = '';
  let type: string | undefined;
  let contentType: string | undefined;
  let metadata = nothing;
  let data = nothing;
  const fields = new Fields(bytes);
  while (fields.next()) {
    if (fields.number === 1) id = decodeUuid(fields.bytes());
    else if (fields.number === 2) {
      const [key, value] = decodeEntry(fields.bytes());
      if (key === 'type') type = value;
      else if (key === 'content-type') contentType = value;
    } else if (fields.number === 3) metadata = fields.bytes();
    else if (fields.number === 4) data = fields.bytes();
    else fields.skip();
  }
  if (type === undefined || contentType === undefined) throw new Refused(refusals.missingMetadata());
  if (type === '') throw new Error('Empty eventType provided.');
  if (!uuid.test(id) || id === emptyUuid) throw new Error('Empty eventId provided.');
  return { id, type, isJson: contentType === 'application/json', data, metadata };
}

/** As the server counts towards the maximum of an append. */
export const sizeOnDisk = ({ type, data, metadata }: ProposedEvent): number =>
  data.length + metadata.length + 2 * type.length;

function decodeEntry(bytes: Buffer): readonly [string, string] {
  let [key, value] = ['', ''];
  const fields = new Fields(bytes);
  while (fields.next()) {
    if (fields.number === 1) key = fields.string();
    else if (fields.number === 2) value = fields.string();
    else fields.skip();
  }
  return [key, value];
}

function decodeOptions(bytes: Buffer): WriteOptions {
  return decodeBatchOptions(bytes);
}

function decodeBatchOptions(bytes: Buffer): WriteOptions & { readonly timeout: number } {
  let stream = '';
  let expected: ExpectedRevision | undefined;
  let timeout = Infinity;
  const fields = new Fields(bytes);
  while (fields.next()) {
    const { number } = fields;
    if (number === 1) stream = decodeStreamIdentifier(fields.bytes());
    else if (number === 2) expected = fields.varint();
    else if (number === 6) timeout = decodeSeconds(fields.bytes()) * 1_000 - Date.now();
    else if (number === 7) timeout = decodeSeconds(fields.bytes()) * 1_000;
    else fields.skip();
    if (number >= 3 && number <= 5) expected = undefined;
    if (number === 3) expected = 'no_stream';
    if (number === 4) expected = 'any';
    if (number === 5) expected = 'stream_exists';
  }
  if (expected === undefined)
    throw new Refused(refusals.badRequest(`'None' is not a valid expected revision`));
  return { stream, expected, timeout };
}

/** `google.protobuf.Timestamp` and `Duration`. */
function decodeSeconds(bytes: Buffer): number {
  let [seconds, nanos] = [0, 0];
  const fields = new Fields(bytes);
  while (fields.next()) {
    if (fields.number === 1) seconds = Number(BigInt.asIntN(64, fields.bigVarint()));
    else if (fields.number === 2) nanos = Number(BigInt.asIntN(64, fields.bigVarint()));
    else fields.skip();
  }
  return seconds + nanos / 1e9;
}

function decodeStreamIdentifier(bytes: Buffer): string {
  const fields = new Fields(bytes);
  while (fields.next()) {
    if (fields.number === 3) return fields.string();
    fields.skip();
  }
  return '';
}
