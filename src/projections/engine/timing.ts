/** Waiting and chance, handed in so that tests decide them, and how long is waited for what. */

export interface Timing {
  /** Resolves after about this many milliseconds, or at once when the signal aborts; never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** In [0, 1). */
  random(): number;
  /** Milliseconds on a clock that never goes back. */
  monotonic(): number;
  /** Resolves after everybody else had a turn: folding can keep the thread busy. */
  turn(): Promise<void>;
}

/** How often and how long a projector waits for what, in milliseconds. */
export interface Delays {
  /**
   * After events that changed rows, the next ones are taken this much later at the earliest, and the later the longer
   * writes take, so that under load one write carries the changes of several commits. An event that comes after
   * a pause is never held up.
   */
  readonly pace: number;
  readonly longestPace: number;
  /** Longest that handled events which changed nothing stay out of the checkpoint (unless somebody waits). */
  readonly lazyCheckpoint: number;
  /** An idle writer shows at least this often that it lives. */
  readonly keepAlive: number;
  /** A writer that has not been heard of for this long may be replaced. Several times `keepAlive`. */
  readonly takeOver: number;
  /** Mean time between a standby's looks. */
  readonly standby: number;
  /** Longest pause between two attempts at a failing database. */
  readonly longestRetry: number;
  /** Time between looks at the checkpoints of other processes, while somebody waits for one. */
  readonly poll: number;
}

export const defaultDelays: Delays = {
  pace: 5,
  longestPace: 100,
  lazyCheckpoint: 100,
  keepAlive: 2_000,
  takeOver: 7_000,
  standby: 1_000,
  longestRetry: 5_000,
  poll: 25,
};

/** Exponential with full jitter, from up to 100 ms on. */
export const backoff = (timing: Timing, attempt: number, longest: number): number =>
  10 + Math.min(longest, 100 * 2 ** Math.min(attempt, 16)) * timing.random();
