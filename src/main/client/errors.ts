/** Reads what the server says about an error: the status, and the machine-readable reason behind it. */
import { status, type ServiceError } from '@grpc/grpc-js';
import { BadRequest, ErrorInfo } from '../../gen/google/rpc/error_details.ts';
import { Status } from '../../gen/google/rpc/status.ts';

export interface RpcFailure {
  readonly code: status;
  /** The status's name, such as "UNAVAILABLE". */
  readonly codeName: string;
  /** UPPER_SNAKE from the server's catalogue; empty where the error came without one (a lost connection). */
  readonly reason: string;
  readonly message: string;
  readonly fields: readonly { readonly field: string; readonly description: string }[];
}

const typePrefix = 'type.googleapis.com/google.rpc.';

export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' && 'details' in error;
}

export function readFailure(error: Pick<ServiceError, 'code' | 'details' | 'metadata'>): RpcFailure {
  let reason = '';
  const fields: { field: string; description: string }[] = [];
  for (const bytes of error.metadata?.get('grpc-status-details-bin') ?? []) {
    if (typeof bytes === 'string') continue;
    for (const detail of Status.decode(bytes).details) {
      if (detail.typeUrl === `${typePrefix}ErrorInfo`) reason = ErrorInfo.decode(detail.value).reason;
      if (detail.typeUrl === `${typePrefix}BadRequest`) {
        for (const { field, description } of BadRequest.decode(detail.value).fieldViolations)
          fields.push({ field, description });
      }
    }
  }
  return { code: error.code, codeName: status[error.code], reason, message: error.details, fields };
}

/** For people: "FAILED_PRECONDITION, RULE_SET_WINDOW_OVERLAP: …". */
export function describeFailure(failure: RpcFailure): string {
  const fields = failure.fields.map(({ field, description }) => `; ${field}: ${description}`).join('');
  const name = failure.reason ? `${failure.codeName}, ${failure.reason}` : failure.codeName;
  return `${name}: ${failure.message}${fields}`;
}

// Asking again cannot help: the server understood, and said no.
const final: ReadonlySet<status> = new Set([
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.ALREADY_EXISTS,
  status.PERMISSION_DENIED,
  status.UNAUTHENTICATED,
  status.FAILED_PRECONDITION,
  status.OUT_OF_RANGE,
  status.UNIMPLEMENTED,
  status.DATA_LOSS,
]);

/** A message over the server's limit: the gRPC library itself says so, without a reason from the catalogue. */
export const isTooLarge = ({ code, reason, message }: RpcFailure): boolean =>
  code === status.RESOURCE_EXHAUSTED && reason === '' && /message larger than max/i.test(message);

/**
 * Whether the same call may succeed later. A cut connection shows as UNAVAILABLE, but also as CANCELLED, INTERNAL
 * or UNKNOWN, depending on the moment; commands are idempotent, so in doubt it is safe to ask again.
 */
export const mayPass = (failure: RpcFailure): boolean => !final.has(failure.code) && !isTooLarge(failure);
