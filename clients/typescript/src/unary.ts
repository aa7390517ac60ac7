/** One call with a deadline, and its repeats. */
import { type Client, Metadata } from '@grpc/grpc-js';
import { backoffMs } from './backoff.ts';
import { deadlineIn, now, pause } from './edges.ts';
import { readError, TallybackError } from './errors.ts';

export interface UnaryCall {
  readonly path: string;
  readonly request: Uint8Array;
  /** Whether it may be sent again when its outcome is not known. */
  readonly repeatable: boolean;
  /** By `now()`: repeats end here. */
  readonly until: number;
  /** Milliseconds after which an attempt without an answer is given up. */
  readonly attemptMs: number;
  /** Longest wait between attempts in milliseconds, unless the server asks for more. */
  readonly mostBackoffMs: number;
  readonly signal: AbortSignal | undefined;
  /** Of a command. */
  readonly requestId: string;
}

const same = (bytes: Uint8Array): Buffer => Buffer.from(bytes);

/** Gives the encoded answer. Rejects with the last attempt's TallybackError, or the signal's reason. */
export async function callUnary(client: Client, call: UnaryCall): Promise<Uint8Array> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await attemptOnce(client, call);
    } catch (error) {
      if (!(error instanceof TallybackError) || !error.mayPass || !call.repeatable) throw error;
      const wait = backoffMs(attempt, call.mostBackoffMs, error.retryAfterMs);
      if (now() + wait >= call.until) throw error;
      await pause(wait, call.signal);
    }
  }
}

function attemptOnce(client: Client, call: UnaryCall): Promise<Uint8Array> {
  const { path, request, until, attemptMs, signal, requestId } = call;
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const deadline = deadlineIn(Math.max(0, Math.min(attemptMs, until - now())));
    const running = client.makeUnaryRequest(
      path,
      same,
      same,
      request,
      new Metadata(),
      { deadline },
      (error, answer) => {
        signal?.removeEventListener('abort', cancel);
        if (answer && !error) resolve(answer);
        else reject(signal?.aborted ? signal.reason : readError(error, requestId));
      },
    );
    const cancel = (): void => running.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
  });
}
