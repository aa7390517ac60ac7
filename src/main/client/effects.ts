/** Waiting until what was commanded, and what policies did because of it, can be read. */
import { ReadConsistency } from '../../gen/tallyback/common/v1/consistency.ts';
import type { Connection } from './connect.ts';
import { patiently, RpcError, unary } from './unary.ts';

const maxWait = { seconds: 20n, nanos: 0 };

export interface EffectsOptions {
  readonly signal: AbortSignal;
  /** How long read models may stay behind. */
  readonly lagPatienceMs: number;
  /** How long the server may be away. */
  readonly patienceMs: number;
}

/** Waits for everything that is in the log now. Gives the token that queries pass on as `at_least`. */
export async function awaitEffects(
  { system }: Connection,
  { signal, lagPatienceMs, patienceMs }: EffectsOptions,
): Promise<string> {
  const consistency = ReadConsistency.fromPartial({ latest: true, includingEffects: true, maxWait });
  const request = { consistency };
  const until = performance.now() + lagPatienceMs;
  const lagging = (error: unknown): boolean =>
    error instanceof RpcError && error.failure.reason === 'READ_MODEL_LAGGING' && performance.now() < until;
  const ask = async (): Promise<string | undefined> => {
    try {
      const answer = await unary(system, system.waitFor, request, { signal, deadlineMs: 30_000 });
      return answer.read?.positionToken ?? '';
    } catch (error) {
      if (lagging(error)) return undefined;
      throw error;
    }
  };
  for (;;) {
    // The server has waited itself before it said that it lags: asking again at once is no hurry.
    const token = await patiently(ask, patienceMs, signal);
    if (token !== undefined) return token;
  }
}
