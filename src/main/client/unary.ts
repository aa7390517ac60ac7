/** Unary calls as promises. */
import {
  type CallOptions,
  type Client,
  type ClientUnaryCall,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { backoffMs, pause } from './backoff.ts';
import { describeFailure, isServiceError, mayPass, readFailure, type RpcFailure } from './errors.ts';

export type UnaryMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

export interface UnaryOptions {
  readonly signal: AbortSignal;
  readonly deadlineMs?: number;
}

/** A call the server refused, or that could not be carried out. */
export class RpcError extends Error {
  override readonly name = 'RpcError';
  readonly failure: RpcFailure;
  constructor(failure: RpcFailure, cause: unknown) {
    super(describeFailure(failure), { cause });
    this.failure = failure;
  }
}

/** One call with a deadline. Rejects with RpcError, or with the signal's reason. */
export function unary<Request, Response>(
  client: Client,
  method: UnaryMethod<Request, Response>,
  request: Request,
  { signal, deadlineMs = 30_000 }: UnaryOptions,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const deadline = Date.now() + deadlineMs;
    const call = method.call(client, request, new Metadata(), { deadline }, (error, response) => {
      signal.removeEventListener('abort', cancel);
      if (!error) resolve(response);
      else if (signal.aborted) reject(signal.reason);
      else reject(isServiceError(error) ? new RpcError(readFailure(error), error) : error);
    });
    const cancel = () => call.cancel();
    signal.addEventListener('abort', cancel, { once: true });
  });
}

/**
 * Asks again, with back-off, while the call fails in a way that may pass, for at most `patienceMs`. Rejects with
 * the last RpcError.
 */
export async function patiently<Response>(
  call: () => Promise<Response>,
  patienceMs: number,
  signal: AbortSignal,
): Promise<Response> {
  const until = performance.now() + patienceMs;
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof RpcError) || !mayPass(error.failure)) throw error;
      const wait = backoffMs(attempt);
      if (performance.now() + wait > until) throw error;
      await pause(wait, signal);
    }
  }
}
