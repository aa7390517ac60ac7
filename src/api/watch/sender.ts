/** Writes the messages of one watch with their headers, no faster than the client reads. */
import { status } from '@grpc/grpc-js';
import type { Position } from '../../eventstore/port.ts';
import { ApiError, retryAfter } from '../errors.ts';
import type { WatchCounts } from './counts.ts';
import * as messages from './messages.ts';
import type { Outlet } from './outlet.ts';
import type { Stamps } from './stamps.ts';
import { Silence } from './silence.ts';

export interface SenderOptions {
  readonly outlet: Outlet;
  readonly stamps: Stamps;
  readonly counts: WatchCounts;
  /** Of the tokens. */
  readonly scope: string;
  readonly heartbeatMs: number;
  /** Milliseconds a client may take nothing. */
  readonly stallMs: number;
}

export const slowConsumer = (what: string): ApiError =>
  new ApiError(status.RESOURCE_EXHAUSTED, 'SLOW_CONSUMER', `${what} was not read in time`, {
    details: [retryAfter(1_000)],
  });

export class Sender {
  readonly #options: SenderOptions;
  readonly silence: Silence;
  /** What the positions that are told belong to. */
  incarnation = '';
  #sequence = 0;
  #isWaiting = false;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.silence = new Silence(options.heartbeatMs, () => this.alive());
  }

  /**
   * With `through`, everything up to there has been told with this. A promise only if there is something to wait for: a
   * change that many watch is told to each of them. That ends with the signal, or with the outlet if there is none.
   */
  send(event: Uint8Array, through?: Position, signal?: AbortSignal): Promise<void> | undefined {
    if (this.#write(event, through)) return undefined;
    const { counts, outlet } = this.#options;
    return counts.stalled.during(() =>
      signal ? this.#room(signal) : outlet.ending.during((over) => this.#room(over)),
    );
  }

  /** The last has the tokens. A promise as above. */
  sendAll(events: readonly Uint8Array[], through?: Position): Promise<void> | undefined {
    const [event] = events;
    if (!event) return undefined;
    return events.length === 1 ? this.send(event, through) : this.#sendEach(events, through);
  }

  heartbeat(through?: Position): Promise<void> | undefined {
    return this.send(messages.heartbeat(this.#options.heartbeatMs), through);
  }

  /** A heartbeat in between, for a client that waits for something else; not for one that is itself waited for. */
  alive(): void {
    if (!this.#isWaiting) this.#write(messages.heartbeat(this.#options.heartbeatMs), undefined);
  }

  end(): void {
    this.silence.end();
  }

  /** False: the client does not keep up. */
  #write(event: Uint8Array, through: Position | undefined): boolean {
    const { outlet, stamps, scope, counts } = this.#options;
    const stamp = stamps.of(scope, through, this.incarnation);
    const keepsUp = outlet.write(messages.withHeader(++this.#sequence, stamp, event));
    counts.messages++;
    this.silence.broken();
    return keepsUp;
  }

  async #sendEach(events: readonly Uint8Array[], through: Position | undefined): Promise<void> {
    for (const [n, event] of events.entries())
      await this.send(event, n === events.length - 1 ? through : undefined);
  }

  async #room(signal: AbortSignal): Promise<void> {
    const { outlet, stallMs } = this.#options;
    this.#isWaiting = true;
    const waiting = new AbortController();
    const over = (): void => waiting.abort(signal.reason);
    const late = setTimeout(() => waiting.abort(slowConsumer('the watch')), stallMs);
    signal.addEventListener('abort', over, { once: true });
    try {
      signal.throwIfAborted();
      await outlet.room(waiting.signal);
    } finally {
      this.#isWaiting = false;
      clearTimeout(late);
      signal.removeEventListener('abort', over);
    }
  }
}
