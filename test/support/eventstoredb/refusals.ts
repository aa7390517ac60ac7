/** The ways a server says no: as the status of a call, and, where it has one, as the answer to one batch append. */
import { Metadata, status } from '@grpc/grpc-js';
import { bytesField, numberField } from './proto.ts';

export interface Refusal {
  readonly code: status;
  readonly details: string;
  readonly trailers?: Readonly<Record<string, string>>;
  /** `google.rpc.Status`, for batch appends; without it the whole stream of batch appends ends with the status. */
  readonly inBand?: Buffer;
}

export const refusals = {
  notReady: (): Refusal => ({
    code: status.UNAVAILABLE,
    details: 'Server Is Not Ready',
    inBand: inBand(status.UNKNOWN, 'Server Is Not Ready', emptyDetails),
  }),
  tooBusy: (): Refusal => ({
    code: status.UNAVAILABLE,
    details: 'Server Is Too Busy',
    inBand: inBand(status.UNKNOWN, 'Server Is Busy', emptyDetails),
  }),
  /** What was asked may have been done, or not. */
  timeout: (): Refusal => ({
    code: status.ABORTED,
    details: 'Operation timed out: Commit phase timeout.',
    inBand: inBand(status.DEADLINE_EXCEEDED, 'Timeout', client('Timeout')),
  }),
  unknown: (details = 'Unexpected OperationResult: 42'): Refusal => ({
    code: status.UNKNOWN,
    details,
    inBand: inBand(status.UNKNOWN, details, client('Unknown')),
  }),
  /** What a server says that did not expect it. */
  handlerThrew: (): Refusal => ({ code: status.UNKNOWN, details: 'Exception was thrown by handler.' }),
  accessDenied: (): Refusal => ({
    code: status.PERMISSION_DENIED,
    details: 'Access Denied',
    trailers: { exception: 'access-denied' },
    inBand: inBand(status.PERMISSION_DENIED, 'Access Denied', client('AccessDenied')),
  }),
  unauthenticated: (): Refusal => ({ code: status.UNAUTHENTICATED, details: 'Unauthenticated' }),
  /** Has no form for one append: it ends the stream of batch appends. */
  notLeader: (host: string, port: number): Refusal => ({
    code: status.NOT_FOUND,
    details: 'Leader info available',
    trailers: {
      exception: 'not-leader',
      'leader-endpoint-host': host,
      'leader-endpoint-port': `${port}`,
    },
  }),
  streamDeleted: (stream: string): Refusal => ({
    code: status.FAILED_PRECONDITION,
    details: `Event stream '${stream}' is deleted.`,
    trailers: { exception: 'stream-deleted', 'stream-name': stream },
    inBand: inBand(
      status.FAILED_PRECONDITION,
      `Event stream '${stream}' is deleted.`,
      client('StreamDeleted', bytesField(1, bytesField(3, stream))),
    ),
  }),
  wrongExpectedVersion: (stream: string, expected: number, actual: number): Refusal => ({
    code: status.FAILED_PRECONDITION,
    details: `Delete failed due to WrongExpectedVersion. Stream: ${stream}, Expected version: ${expected}, Actual version: ${actual}`,
    trailers: {
      exception: 'wrong-expected-version',
      'stream-name': stream,
      'expected-version': `${expected}`,
      'actual-version': `${actual}`,
    },
  }),
  maximumAppendSizeExceeded: (size: number): Refusal => ({
    code: status.INVALID_ARGUMENT,
    details: `Maximum Append Size of ${size} Exceeded.`,
    trailers: { exception: 'maximum-append-size-exceeded', 'maximum-append-size': `${size}` },
    inBand: inBand(
      status.INVALID_ARGUMENT,
      `Maximum Append Size of ${size} Exceeded.`,
      client('MaximumAppendSizeExceeded', numberField(1, size)),
    ),
  }),
  missingMetadata: (): Refusal => ({
    code: status.INVALID_ARGUMENT,
    details: 'Required Metadata Property is missing',
    trailers: {
      exception: 'missing-required-metadata-property',
      'required-metadata-properties': 'type,content-type',
    },
  }),
  badRequest: (message: string): Refusal => ({
    code: status.INVALID_ARGUMENT,
    details: message,
    inBand: inBand(status.INVALID_ARGUMENT, 'BadRequest', client('BadRequest', bytesField(1, message))),
  }),
  consumerTooSlow: (): Refusal => ({
    code: status.ABORTED,
    details:
      'Operation timed out: Consumer too slow to handle event while live. Client resubscription required.',
  }),
  unavailable: (details = 'Connection dropped'): Refusal => ({ code: status.UNAVAILABLE, details }),
  cancelled: (): Refusal => ({ code: status.CANCELLED, details: 'Call canceled by the server' }),
} as const;

/** An expected revision that cannot be met, as a batch append is told. */
export function wrongExpectedVersionInBand(expected: number | string, actual: number): Buffer {
  const empty = (number: number): Buffer => bytesField(number, '');
  const forms: Record<string, Buffer> = { any: empty(4), stream_exists: empty(5), no_stream: empty(6) };
  const expectation = typeof expected === 'number' ? numberField(3, expected) : (forms[expected] ?? empty(4));
  const current = actual < 0 ? empty(2) : numberField(1, actual);
  return inBand(
    status.FAILED_PRECONDITION,
    'WrongExpectedVersion',
    client('WrongExpectedVersion', current, expectation),
  );
}

export function statusOf({ code, details, trailers }: Refusal): {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
} {
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(trailers ?? {})) metadata.set(key, value);
  return { code, details, metadata };
}

/** `google.protobuf.Any`, which this server sends alone where `google.rpc.Status` has a list. */
const any = (type: string, value: Buffer): Buffer =>
  Buffer.concat([bytesField(1, `type.googleapis.com/${type}`), bytesField(2, value)]);

const client = (type: string, ...fields: readonly Buffer[]): Buffer =>
  any(`event_store.client.${type}`, Buffer.concat(fields));

const emptyDetails = any('google.protobuf.Empty', Buffer.alloc(0));

const inBand = (code: number, message: string, details: Buffer): Buffer =>
  Buffer.concat([numberField(1, code), bytesField(2, message), bytesField(3, details)]);

/** Thrown where a request turns out to be refused. */
export class Refused extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.details);
    this.refusal = refusal;
  }
}
