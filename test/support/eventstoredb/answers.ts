/** What the server sends, apart from events. */
import type { ExpectedRevision } from './check-append.ts';
import type { WriteOutcome } from './log.ts';
import { bytesField, messageField, numberField } from './proto.ts';
import { encodeUuid } from './uuid.ts';

export interface LogPosition {
  readonly commit: number;
  readonly prepare: number;
}

const empty = (number: number): Buffer => bytesField(number, '');

const position = (number: number, { commit, prepare }: LogPosition): Buffer =>
  messageField(number, numberField(1, commit), numberField(2, prepare));

type Success = Extract<WriteOutcome, { readonly kind: 'success' }>;

/** `Success` of an append, of either kind. */
function success(number: number, outcome: Success): Buffer {
  return messageField(
    number,
    outcome.lastRevision < 0 ? empty(2) : numberField(1, outcome.lastRevision),
    outcome.position === undefined
      ? empty(4)
      : position(3, { commit: outcome.position, prepare: outcome.position }),
  );
}

export const appended = (outcome: Success): Buffer => success(1, outcome);

/** In-band, with the numbers of 20.6 beside the present ones, as servers send it still. */
export function appendConflict(expected: ExpectedRevision, actual: number): Buffer {
  const forms = { any: [4, 9], stream_exists: [5, 10], no_stream: [3, 11] } as const;
  const expectation =
    typeof expected === 'number'
      ? [numberField(3, expected), numberField(8, expected)]
      : forms[expected].map((number) => (number === 3 ? numberField(3, 2 ** 63) : empty(number)));
  const current = actual < 0 ? [empty(2), empty(7)] : [numberField(1, actual), numberField(6, actual)];
  return messageField(2, ...current, ...expectation);
}

const batchAnswer = (correlationId: Buffer, stream: string, result: Buffer): Buffer =>
  Buffer.concat([bytesField(1, correlationId), result, messageField(4, bytesField(3, stream))]);

export const batchAppended = (correlationId: Buffer, stream: string, outcome: Success): Buffer =>
  batchAnswer(correlationId, stream, success(3, outcome));

/** `error` is a `google.rpc.Status`. */
export const batchRefused = (correlationId: Buffer, stream: string, error: Buffer): Buffer =>
  batchAnswer(correlationId, stream, bytesField(2, error));

/** Of a delete or a tombstone. */
export const deleted = (at: number | undefined): Buffer =>
  at === undefined ? empty(2) : position(1, { commit: at, prepare: at });

export const confirmation = (subscriptionId: string): Buffer =>
  messageField(2, bytesField(1, subscriptionId));

export const checkpoint = (at: LogPosition): Buffer => position(3, at);

export const streamNotFound = (stream: string): Buffer =>
  messageField(4, messageField(1, bytesField(3, stream)));

export const caughtUp = (): Buffer => empty(8);

/** Names are in lower case. */
export interface SupportedMethod {
  readonly service: string;
  readonly method: string;
  readonly features: readonly string[];
}

export const supportedMethods = (methods: readonly SupportedMethod[], version: string): Buffer =>
  Buffer.concat([
    ...methods.map(({ service, method, features }) =>
      messageField(
        1,
        bytesField(1, method),
        bytesField(2, service),
        ...features.map((feature) => bytesField(3, feature)),
      ),
    ),
    bytesField(2, version),
  ]);

export interface Member {
  readonly id: string;
  readonly isLeader: boolean;
  readonly isAlive: boolean;
  readonly port: number;
}

export const clusterInfo = (members: readonly Member[]): Buffer =>
  Buffer.concat(
    members.map(({ id, isLeader, isAlive, port }) =>
      messageField(
        1,
        messageField(1, encodeUuid(id)),
        numberField(2, Date.now() * 10_000),
        numberField(3, isLeader ? 8 : 6),
        numberField(4, isAlive ? 1 : 0),
        messageField(5, bytesField(1, '127.0.0.1'), numberField(2, port)),
      ),
    ),
  );
