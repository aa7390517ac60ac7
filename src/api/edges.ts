/** Chance, for the API: the one place that takes it from the system. */
import { randomUUID } from 'node:crypto';
import { pause } from '../eventstore/edges.ts';

export { pause };

/** Names an unexpected error in the answer and in the log. */
export const systemErrorId = (): string => randomUUID();

/** Waits for a random time up to that many milliseconds; ends early, without an error, when the signal aborts. */
export const pauseUpTo = (ms: number, signal: AbortSignal): Promise<void> =>
  pause(ms * Math.random(), signal);

/** A random part of a span of time, in whole milliseconds. */
export const jittered = (ms: number): number => Math.floor(ms * Math.random());
