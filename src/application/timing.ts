/** Waiting and chance, handed in from the edge so that tests decide them. */
export interface Timing {
  /** Resolves after about this many milliseconds, or at once when the signal aborts; never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** In [0, 1). */
  random(): number;
  /** Milliseconds on a clock that never goes back. */
  monotonic(): number;
}

/** Exponential with full jitter: a random wait up to base × 2^attempt, at most `cap` milliseconds. */
export const backoff = (timing: Timing, attempt: number, base: number, cap: number): number =>
  Math.min(cap, base * 2 ** Math.min(attempt, 20)) * timing.random();
