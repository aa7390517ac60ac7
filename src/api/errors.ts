/**
 * Errors as clients see them: a gRPC status with google.rpc.Status in `grpc-status-details-bin`, in which
 * ErrorInfo{reason, domain "tallyback"} always is. What a client may see is decided here and nowhere else.
 */
import { Metadata, status } from '@grpc/grpc-js';
import { CommandUnavailable } from '../application/commands.ts';
import type { Refusal } from '../domain/aggregate.ts';
import { EventStoreUnavailable } from '../eventstore/port.ts';
import type { Any } from '../gen/google/protobuf/any.ts';
import {
  BadRequest,
  ErrorInfo,
  PreconditionFailure,
  QuotaFailure,
  ResourceInfo,
  RetryInfo,
} from '../gen/google/rpc/error_details.ts';
import { Status } from '../gen/google/rpc/status.ts';
import { ReadModelMissing } from '../projections/engine/catalog.ts';
import { millisecondsOf } from './duration.ts';

export const errorDomain = 'tallyback';
export const positionTrailer = 'x-tallyback-position';

// Header lists over some 64 kB hang grpc-js connections, and other clients stop at 8 kB: stay below, with the message
// and all. In the header these bytes are a third more, as Base64.
const maxDetailBytes = 3072;
const maxViolations = 20;
const maxText = 256;

export interface FieldViolation {
  /** Path in proto names, such as "lines[3].sku"; empty: the message itself. */
  readonly field: string;
  readonly description: string;
  /** Id of the rule. */
  readonly reason: string;
}

interface ErrorExtras {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly violations?: readonly FieldViolation[];
  readonly details?: readonly Any[];
  /** Token for the trailer: what the error was decided on. */
  readonly position?: string;
}

/** An error that was meant: its text is for the client. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: status;
  /** UPPER_SNAKE. */
  readonly reason: string;
  readonly extras: ErrorExtras;

  constructor(code: status, reason: string, message: string, extras: ErrorExtras = {}) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.extras = extras;
  }
}

/** Short, and free of half surrogate pairs, on which the header's encoding would fail. */
export const cleanText = (text: string, most = maxText): string =>
  (text.length > most ? `${text.slice(0, most - 1)}…` : text).replaceAll(/\p{Surrogate}/gu, '\uFFFD');

const detail = (name: string, value: Uint8Array): Any => ({
  typeUrl: `type.googleapis.com/google.rpc.${name}`,
  value: Buffer.from(value),
});

export const retryAfter = (ms: number): Any =>
  detail(
    'RetryInfo',
    RetryInfo.encode({
      retryDelay: { seconds: BigInt(Math.trunc(ms / 1_000)), nanos: (ms % 1_000) * 1_000_000 },
    }).finish(),
  );

export const quotaFailure = (subject: string, description: string): Any =>
  detail(
    'QuotaFailure',
    QuotaFailure.encode(QuotaFailure.fromPartial({ violations: [{ subject, description }] })).finish(),
  );

export const resourceInfo = (resourceType: string, resourceName: string): Any =>
  detail(
    'ResourceInfo',
    ResourceInfo.encode({
      resourceType,
      resourceName: cleanText(resourceName),
      owner: '',
      description: '',
    }).finish(),
  );

const badRequest = (violations: readonly FieldViolation[]): Any =>
  detail(
    'BadRequest',
    BadRequest.encode({
      fieldViolations: violations.map(({ field, description, reason }) => ({
        field: cleanText(field, 200),
        description: cleanText(description, 200),
        reason: cleanText(reason, 63),
        localizedMessage: undefined,
      })),
    }).finish(),
  );

function encodeStatus(error: ApiError, message: string): Buffer {
  let metadata = Object.entries(error.extras.metadata ?? {})
    .slice(0, 8)
    .map(([key, value]) => [key, cleanText(value)] as const);
  let violations = error.extras.violations?.slice(0, maxViolations) ?? [];
  let more = error.extras.details ?? [];
  for (;;) {
    const info = ErrorInfo.encode({
      reason: error.reason,
      domain: errorDomain,
      metadata: Object.fromEntries(metadata),
    });
    const details = [
      detail('ErrorInfo', info.finish()),
      ...(violations.length > 0 ? [badRequest(violations)] : []),
      ...more,
    ];
    const bytes = Status.encode({ code: error.code, message, details }).finish();
    if (bytes.length <= maxDetailBytes) return Buffer.from(bytes);
    // The reason stays; what goes first is what there is most of.
    if (violations.length > 0) violations = violations.slice(0, violations.length >> 1);
    else if (more.length > 0) more = more.slice(0, -1);
    else if (metadata.length > 0) metadata = metadata.slice(0, -1);
    else return Buffer.from(bytes);
  }
}

/** What grpc-js takes as the end of a call that failed. */
export function toStatus(error: ApiError): { code: status; details: string; metadata: Metadata } {
  const details = cleanText(error.message);
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', encodeStatus(error, details));
  if (error.extras.position !== undefined) metadata.set(positionTrailer, error.extras.position);
  return { code: error.code, details, metadata };
}

/** An error as JSON. */
export interface ErrorBody {
  /** Name of the gRPC status, such as "INVALID_ARGUMENT". */
  readonly code: string;
  readonly reason: string;
  readonly message: string;
  readonly violations?: readonly FieldViolation[];
  /** The same again makes sense after so long; absent: it makes none. */
  readonly retryAfterMs?: number;
}

export function toErrorBody({ code, reason, message, extras }: ApiError): ErrorBody {
  const retryInfo = extras.details?.find(({ typeUrl }) => typeUrl.endsWith('/google.rpc.RetryInfo'));
  const delay = retryInfo && RetryInfo.decode(retryInfo.value).retryDelay;
  const violations = extras.violations?.slice(0, maxViolations).map(({ field, description, reason }) => ({
    field: cleanText(field),
    description: cleanText(description),
    reason,
  }));
  return {
    code: status[code],
    reason,
    message: cleanText(message),
    ...(violations ? { violations } : {}),
    ...(delay ? { retryAfterMs: millisecondsOf(delay) } : {}),
  };
}

export const invalidArgument = (reason: string, message: string, field: string): ApiError =>
  new ApiError(status.INVALID_ARGUMENT, reason, message, {
    violations: [{ field, description: message, reason }],
  });

/** A request that breaks the rules of the contract. */
export function invalidRequest(violations: readonly FieldViolation[]): ApiError {
  const [first] = violations;
  const rest = violations.length > 1 ? ` (and ${violations.length - 1} more)` : '';
  const message = first ? `${first.field || 'request'}: ${first.description}${rest}` : 'invalid request';
  return new ApiError(status.INVALID_ARGUMENT, 'INVALID_REQUEST', message, {
    violations,
    metadata: { violations: String(violations.length) },
  });
}

export const malformedMessage = (): ApiError =>
  new ApiError(status.INVALID_ARGUMENT, 'MALFORMED_MESSAGE', 'the message does not decode');

export const serverStopping = (): ApiError =>
  new ApiError(status.UNAVAILABLE, 'SERVER_STOPPING', 'the server is going down', {
    details: [retryAfter(1_000)],
  });

export const callCancelled = (): ApiError =>
  new ApiError(status.CANCELLED, 'CALL_CANCELLED', 'the call was cancelled');

export const storeUnavailable = (): ApiError =>
  new ApiError(
    status.UNAVAILABLE,
    'STORE_UNAVAILABLE',
    'the store does not answer; the same call may be repeated',
    {
      details: [retryAfter(1_000)],
    },
  );

/** Of a new version whose columns the table of the version before does not have. */
const readModelBuilding = ({ message }: ReadModelMissing): ApiError =>
  new ApiError(status.UNAVAILABLE, 'READ_MODEL_BUILDING', message, { details: [retryAfter(5_000)] });

export const requestIdReused = (position: string): ApiError =>
  new ApiError(status.ALREADY_EXISTS, 'REQUEST_ID_REUSED', 'the request id was used for another request', {
    position,
  });

const refusalCodes = {
  'not-found': status.NOT_FOUND,
  'already-exists': status.ALREADY_EXISTS,
  precondition: status.FAILED_PRECONDITION,
  invalid: status.INVALID_ARGUMENT,
} as const satisfies Record<Refusal['class'], status>;

/**
 * A command the domain refused, or what an operator asked for. `subject` says what it was about, such as the kind of
 * aggregate; `position`: token of what it was decided on.
 */
export function refused(refusal: Refusal, subject: string, position?: string): ApiError {
  const { reason, message } = refusal;
  const description = cleanText(message);
  const details = {
    'not-found': () => [resourceInfo(subject, '')],
    'already-exists': () => [resourceInfo(subject, '')],
    precondition: () => [
      detail(
        'PreconditionFailure',
        PreconditionFailure.encode({ violations: [{ type: reason, subject, description }] }).finish(),
      ),
    ],
    invalid: () => [badRequest([{ field: '', description, reason }])],
  }[refusal.class]();
  return new ApiError(refusalCodes[refusal.class], reason, message, {
    details,
    ...(position === undefined ? {} : { position }),
  });
}

/**
 * Codes of sockets and of Postgres that say: not now. Of Postgres: connections (08), serialisation and deadlocks
 * (40001, 40P01), resources (53), a cancelled statement (57014), restarts (57P).
 */
const outageCodes =
  /^(ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|08...$|40001$|40P01$|53...$|57014$|57P..$)/;
/** The Postgres driver's own errors have no code, only these texts. */
const outageTexts =
  /^(Connection terminated|Query read timeout$|timeout exceeded when trying to connect$|timeout expired$|Client (has encountered a connection error|was closed) and is not queryable$)|\bECONN(REFUSED|RESET)\b/;

function isOutage(error: unknown): boolean {
  if (error instanceof CommandUnavailable || error instanceof EventStoreUnavailable) return true;
  if (!(error instanceof Error)) return false;
  if ('code' in error && typeof error.code === 'string') return outageCodes.test(error.code);
  return outageTexts.test(error.message);
}

/** The error as it may be shown; undefined for one that nobody meant. */
export function known(error: unknown): ApiError | undefined {
  if (error instanceof ApiError) return error;
  if (error instanceof ReadModelMissing) return readModelBuilding(error);
  return isOutage(error) ? storeUnavailable() : undefined;
}

export const internalError = (errorId: string): ApiError =>
  new ApiError(status.INTERNAL, 'INTERNAL', `something went wrong; error ${errorId}`, {
    metadata: { error_id: errorId },
  });
