/** Errors as the server means them: the status, the machine-readable reason behind it, and what to do. */
import { Metadata, type StatusObject, status } from '@grpc/grpc-js';
import { BadRequest, ErrorInfo, RetryInfo } from './gen/google/rpc/error_details.ts';
import { Status } from './gen/google/rpc/status.ts';
import { millisecondsOf } from './duration.ts';

/** Name of a gRPC status, such as "UNAVAILABLE". */
export type StatusName = keyof typeof status;

/** A field that breaks a rule of the contract. */
export interface FieldViolation {
  /** Path in proto names, such as "lines[3].sku". */
  readonly field: string;
  readonly description: string;
  /** Id of the rule. */
  readonly reason: string;
}

interface ErrorParts {
  readonly code: StatusName;
  readonly reason?: string;
  readonly violations?: readonly FieldViolation[];
  readonly metadata?: Readonly<Record<string, string>>;
  readonly retryAfterMs?: number | undefined;
  readonly positionToken?: string;
  readonly requestId?: string;
}

/** A call that was refused, or that could not be carried out. */
export class TallybackError extends Error {
  override readonly name = 'TallybackError';
  readonly code: StatusName;
  /**
   * UPPER_SNAKE, from the server's catalogue, such as "INSUFFICIENT_BALANCE". Empty where no server said anything: a
   * lost connection, a deadline.
   */
  readonly reason: string;
  readonly violations: readonly FieldViolation[];
  /** What the message says, for programs. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Milliseconds that the server wants to be left alone, if it said so. */
  readonly retryAfterMs: number | undefined;
  /** Of a refused command: what it was decided on. Empty otherwise. */
  readonly positionToken: string;
  /**
   * Of a command: what it was sent under. Where the outcome is not known (`mayPass`), send it again with this and the
   * same content, and get the outcome. Empty otherwise.
   */
  readonly requestId: string;

  constructor(message: string, parts: ErrorParts, options?: ErrorOptions) {
    super(message, options);
    this.code = parts.code;
    this.reason = parts.reason ?? '';
    this.violations = parts.violations ?? [];
    this.metadata = parts.metadata ?? {};
    this.retryAfterMs = parts.retryAfterMs;
    this.positionToken = parts.positionToken ?? '';
    this.requestId = parts.requestId ?? '';
  }

  /**
   * Whether the same call may succeed later. A connection that is cut shows as UNAVAILABLE, but also as CANCELLED,
   * INTERNAL or UNKNOWN, depending on the moment; those that the server means have a reason.
   */
  get mayPass(): boolean {
    switch (this.code) {
      case 'UNAVAILABLE':
      case 'DEADLINE_EXCEEDED':
        return true;
      case 'RESOURCE_EXHAUSTED':
        // What gRPC itself says of a message that is too large, and always will be.
        return this.reason !== '' || !/message larger than max/i.test(this.message);
      case 'CANCELLED':
      case 'INTERNAL':
      case 'UNKNOWN':
        return this.reason === '';
      default:
        return false;
    }
  }
}

const typePrefix = 'type.googleapis.com/google.rpc.';

const isStatus = (error: unknown): error is Error & StatusObject =>
  error instanceof Error && 'code' in error && typeof error.code === 'number' && 'details' in error;

const nameOf = (code: number): StatusName => {
  const names: Readonly<Record<number, string>> = status;
  // Never a number's own name: those are the values of the reverse mapping.
  return (names[code] ?? 'UNKNOWN') as StatusName;
};

/** What grpc-js throws, read. Anything else stays what it is. */
export function readError(error: unknown, requestId = ''): unknown {
  if (!isStatus(error)) return error;
  const metadata = error.metadata instanceof Metadata ? error.metadata : new Metadata();
  let info = ErrorInfo.fromPartial({});
  let violations: readonly FieldViolation[] = [];
  let retryAfterMs: number | undefined;
  const [bytes] = metadata.get('grpc-status-details-bin');
  for (const { typeUrl, value } of bytes instanceof Buffer ? Status.decode(bytes).details : []) {
    if (typeUrl === `${typePrefix}ErrorInfo`) info = ErrorInfo.decode(value);
    if (typeUrl === `${typePrefix}BadRequest`) violations = BadRequest.decode(value).fieldViolations;
    if (typeUrl === `${typePrefix}RetryInfo`)
      retryAfterMs = millisecondsOf(RetryInfo.decode(value).retryDelay);
  }
  return new TallybackError(
    error.details,
    {
      code: nameOf(error.code),
      reason: info.reason,
      violations: violations.map(({ field, description, reason }) => ({ field, description, reason })),
      metadata: info.metadata,
      retryAfterMs,
      positionToken: metadata.get('x-tallyback-position').map(String).at(0) ?? '',
      requestId,
    },
    { cause: error },
  );
}
