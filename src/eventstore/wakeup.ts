/**
 * A one-person doorbell. Rings while nobody waits are remembered (as one), so a wake-up between looking
 * and waiting is never lost. Cheaper and leak-free compared with racing promises in a loop.
 */
export class Wakeup {
  #rung = false;
  #resolve: (() => void) | undefined;

  readonly ring = (): void => {
    const resolve = this.#resolve;
    if (resolve) {
      this.#resolve = undefined;
      resolve();
    } else {
      this.#rung = true;
    }
  };

  /** Resolves at the next ring, or at once if one came since the last wait. One waiter at a time. */
  wait(): Promise<void> {
    if (this.#rung) {
      this.#rung = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }
}

/**
 * The promise's value, or undefined as soon as the signal aborts. What arrives after that is dropped,
 * errors included: the caller has left.
 */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => resolve(undefined);
    if (signal.aborted) aborted();
    else signal.addEventListener('abort', aborted, { once: true });
    promise
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', aborted))
      .catch(reject);
  });
}
