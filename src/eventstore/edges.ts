/**
 * Where the adapters touch what differs from run to run: the clock, randomness, waiting.
 * Everything else in the folder takes these as arguments, so that tests can replace them.
 */

import { randomUUID } from 'node:crypto';

export interface Edges {
  /** Milliseconds on a clock that never goes back; only differences mean anything. */
  readonly clock: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Resolves after that many milliseconds, or at once when the signal aborts. Never rejects. */
  readonly pause: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  /** Calls `ring` once that many milliseconds have passed since the alarm was set, or last put off. */
  readonly alarm: (milliseconds: number, ring: () => void) => Alarm;
  /** A fresh UUID. */
  readonly newId: () => string;
}

export interface Alarm {
  /** The time starts afresh. */
  putOff(): void;
  stop(): void;
}

/**
 * Resolves after that many milliseconds, or at once when the signal aborts; never rejects. (`timers/promises` makes an
 * error with its stack for every wait that is cut short, and followers of the log cut short most of theirs.)
 */
export const pause = (milliseconds: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal?.aborted) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener('abort', done);
  });

export const systemEdges: Edges = {
  clock: () => performance.now(),
  random: () => Math.random(),
  pause,
  alarm(milliseconds, ring) {
    const timer = setTimeout(ring, milliseconds);
    return { putOff: () => void timer.refresh(), stop: () => clearTimeout(timer) };
  },
  newId: () => randomUUID(),
};

/** Milliseconds to wait before attempt n (from 0): doubling from 50 to 2,000, each with 50 % jitter. */
export function backoff(attempt: number, random: () => number): number {
  const full = Math.min(2_000, 50 * 2 ** Math.min(attempt, 6));
  return full * (0.5 + random() / 2);
}
