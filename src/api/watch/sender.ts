/** Writes the messages of one watch with their headers, no faster than the client reads. */
import { status } from '@grpc/grpc-js';
import type { Position } from '../../eventstore/port.ts';
import { ApiError, retryAfter } from '../errors.ts';
import type { WatchCounts } from './counts.ts';
import * as messages from './messages.ts';
import type { Outlet } from './outlet.ts';

export interface SenderOptions {
  readonly outlet: Outlet;
  /** What all messages of now have in their headers; with a position, everything up to there has been told with it. */
  readonly stamp: (through: Position | undefined) => Uint8Array;
  /** Milliseconds a client may take nothing. */
  readonly stallMs: number;
  /** Called after every message. */
  readonly sent: () => void;
  readonly counts: WatchCounts;
}

export const slowConsumer = (what: string): ApiError =>
  new ApiError(status.RESOURCE_EXHAUSTED, 'SLOW_CONSUMER', `${what} was not read in time`, {
    details: [retryAfter(1_000)],
  });

export class Sender {
  readonly #options: SenderOptions;
  #sequence = 0;

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  /**
   * With `through`, everything up to there has been told with this. A promise only if there is something to wait for: a
   * change that many watch is told to each of them.
   */
  send(
    event: Uint8Array,
    through?: Position,
    signal = this.#options.outlet.signal,
  ): Promise<void> | undefined {
    if (this.sendNow(event, through)) return undefined;
    return this.#options.counts.stalled.during(() => this.#room(signal));
  }

  /** Without waiting, for what is said while something else waits. False: the client does not keep up. */
  sendNow(event: Uint8Array, through?: Position): boolean {
    const { outlet, stamp, sent, counts } = this.#options;
    const keepsUp = outlet.write(messages.withHeader(++this.#sequence, stamp(through), event));
    counts.messages++;
    sent();
    return keepsUp;
  }

  /** The last has the tokens. A promise as above. */
  sendAll(events: readonly Uint8Array[], through?: Position): Promise<void> | undefined {
    const [event] = events;
    if (!event) return undefined;
    return events.length === 1 ? this.send(event, through) : this.#sendEach(events, through);
  }

  async #sendEach(events: readonly Uint8Array[], through: Position | undefined): Promise<void> {
    for (const [n, event] of events.entries())
      await this.send(event, n === events.length - 1 ? through : undefined);
  }

  async #room(signal: AbortSignal): Promise<void> {
    const { outlet, stallMs } = this.#options;
    const waiting = new AbortController();
    const over = (): void => waiting.abort(signal.reason);
    const late = setTimeout(() => waiting.abort(slowConsumer('the watch')), stallMs);
    signal.addEventListener('abort', over, { once: true });
    try {
      signal.throwIfAborted();
      await outlet.room(waiting.signal);
    } finally {
      clearTimeout(late);
      signal.removeEventListener('abort', over);
    }
  }
}
