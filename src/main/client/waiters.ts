/** Promises that wait for a condition which somebody else brings about, or for a failure. */

interface Waiter {
  readonly holds: () => boolean;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

export class Waiters {
  #waiting: Waiter[] = [];
  #failure: Promise<never> | undefined;

  /** Rejects with the reason of `fail`; undefined before that. */
  get failure(): Promise<never> | undefined {
    return this.#failure;
  }

  /** Resolves when the condition holds, at the latest at the `wake` after it came true. */
  until(holds: () => boolean): Promise<void> {
    if (this.#failure) return this.#failure;
    if (holds()) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiting.push({ holds, resolve, reject }));
  }

  wake(): void {
    if (this.#waiting.length === 0) return;
    const still: Waiter[] = [];
    for (const waiter of this.#waiting) {
      if (waiter.holds()) waiter.resolve();
      else still.push(waiter);
    }
    this.#waiting = still;
  }

  /** Rejects all that wait, and all that ask from now on. The first reason counts. */
  fail(reason: unknown): void {
    if (this.#failure) return;
    this.#failure = Promise.reject(reason);
    // It may be that nobody asks; that is not an unhandled rejection.
    this.#failure.catch(() => undefined);
    for (const waiter of this.#waiting) waiter.reject(reason);
    this.#waiting = [];
  }
}
