/** Lets a number of holders in at a time; others wait their turn, first come first served. */
export class Semaphore {
  #free: number;
  readonly #queue = new Set<() => void>();

  constructor(places: number) {
    this.#free = places;
  }

  /** Resolves with how to leave; rejects with the signal's reason if it aborts first. */
  async enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free--;
    else await this.#turn(signal);
    let inside = true;
    return () => {
      if (inside) this.#leave();
      inside = false;
    };
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const aborted = (): void => {
        this.#queue.delete(go);
        reject(signal.reason);
      };
      const go = (): void => {
        signal.removeEventListener('abort', aborted);
        resolve();
      };
      this.#queue.add(go);
      signal.addEventListener('abort', aborted, { once: true });
    });
  }

  #leave(): void {
    const [next] = this.#queue;
    if (!next) {
      this.#free++;
      return;
    }
    // The place goes over to who waited longest.
    this.#queue.delete(next);
    next();
  }
}
