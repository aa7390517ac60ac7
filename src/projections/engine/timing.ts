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

/** How often and how long is waited for what, in milliseconds. */
export interface Delays {
  /**
   * After events that changed rows, the next ones are taken this much later at the earliest, and the later the longer
   * writes take, so that under load one write carries the changes of several commits. An event that comes after
   * a pause is never held up.
   */
  readonly pace: number;
  readonly longestPace: number;
  /** Where nobody waits for a read model, events are left alone for so long. */
  readonly unfollowed: number;
  /** Longest that handled events which changed nothing stay out of the checkpoint (unless somebody waits). */
  readonly lazyCheckpoint: number;
  /** With nothing to do, a projector looks around itself this often. */
  readonly idle: number;
  /** How often an instance says that it lives, and looks who leads what. */
  readonly beat: number;
  /** An instance that has not been heard of for this long is taken for dead. Several times `beat`. */
  readonly lease: number;
  /** Before an instance tries again what it could not fold. */
  readonly afterFailure: number;
  /** Longest pause between two attempts at a failing database. */
  readonly longestRetry: number;
  /** Time between looks at the checkpoints of other processes, while somebody waits for one. */
  readonly poll: number;
}

export const defaultDelays: Delays = {
  pace: 5,
  longestPace: 100,
  unfollowed: 10,
  lazyCheckpoint: 1_000,
  idle: 10_000,
  beat: 1_000,
  lease: 4_000,
  afterFailure: 60_000,
  longestRetry: 5_000,
  poll: 100,
};

/** Exponential with full jitter, from up to 100 ms on. */
export const backoff = (timing: Timing, attempt: number, longest: number): number =>
  10 + Math.min(longest, 100 * 2 ** Math.min(attempt, 16)) * timing.random();
