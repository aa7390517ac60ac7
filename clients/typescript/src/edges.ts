/** The clock, chance and timers: the one place that has them. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds that only ever grow. */
export const now = (): number => performance.now();

/** In milliseconds since 1970, so long from now. */
export const deadlineIn = (ms: number): number => Date.now() + ms;

/** In [0, 1). */
export const chance = (): number => Math.random();

export const newRequestId = (): string => randomUUID();

/** Resolves after a while; rejects with the signal's reason when that comes first. */
export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  try {
    await sleep(ms, undefined, signal ? { signal } : {});
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
