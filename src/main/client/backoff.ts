/** How long to wait before trying again. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface BackoffOptions {
  readonly firstMs?: number;
  readonly mostMs?: number;
  /** In [0, 1). */
  readonly random?: () => number;
}

/** Doubles from attempt to attempt (0, 1, 2 …), with full jitter, so that clients do not come back in step. */
export function backoffMs(attempt: number, options: BackoffOptions = {}): number {
  const { firstMs = 100, mostMs = 5_000, random = Math.random } = options;
  const ceiling = Math.min(mostMs, firstMs * 2 ** Math.min(attempt, 20));
  return Math.round(ceiling * (0.25 + 0.75 * random()));
}

/** Resolves after a while; rejects with the signal's reason when that comes first. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}
