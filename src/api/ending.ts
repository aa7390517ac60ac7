/**
 * The end of a call, for all who wait on its behalf: the client has gone, its deadline has passed, or the server stops.
 *
 * Not an AbortSignal, of which each takes some 700 bytes (Node 20): ten thousand watches may be open for hours, and need none while
 * nothing happens. Who needs one has it for as long as its work goes on: `during`.
 */
import type { ApiError } from './errors.ts';

export class Ending {
  #over: ApiError | undefined;
  /** Mostly there is one. */
  #listeners: readonly (() => void)[] = [];

  /** Why it is over, as the client is told; undefined: it is not. */
  get over(): ApiError | undefined {
    return this.#over;
  }

  throwIfOver(): void {
    if (this.#over) throw this.#over;
  }

  /** It is over; only the first reason counts. */
  end(why: ApiError): void {
    if (this.#over) return;
    this.#over = why;
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
  }

  /** Calls back once, when it is over; never if it is already. */
  listen(listener: () => void): void {
    if (!this.#over) this.#listeners = [...this.#listeners, listener];
  }

  forget(listener: () => void): void {
    this.#listeners = this.#listeners.filter((one) => one !== listener);
  }

  /** Work with a signal that aborts, for the same reason, when it is over. */
  async during<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    const abort = (): void => controller.abort(this.#over);
    if (this.#over) abort();
    this.listen(abort);
    try {
      return await work(controller.signal);
    } finally {
      this.forget(abort);
    }
  }
}
