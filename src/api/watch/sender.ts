/** Writes the messages of one watch with their headers, no faster than the client reads. */
import { status } from '@grpc/grpc-js';
import type { PositionTokens } from '../../application/position-token.ts';
import type { Position } from '../../eventstore/port.ts';
import { ApiError, retryAfter } from '../errors.ts';
import * as messages from './messages.ts';
import type { Outlet } from './outlet.ts';

export interface SenderOptions {
  readonly outlet: Outlet;
  readonly tokens: PositionTokens;
  /** The token with which the watch can be taken up again after a position. */
  readonly resumeToken: (position: Position) => string;
  readonly clock: () => Date;
  /** Milliseconds a client may take nothing. */
  readonly stallMs: number;
  /** Called after every message. */
  readonly sent: () => void;
}

export const slowConsumer = (what: string): ApiError =>
  new ApiError(status.RESOURCE_EXHAUSTED, 'SLOW_CONSUMER', `${what} was not read in time`, {
    details: [retryAfter(1_000)],
  });

export class Sender {
  readonly #options: SenderOptions;
  #sequence = 0n;

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  /** With `through`, everything up to there has been told with this. */
  async send(event: Uint8Array, through?: Position, signal = this.#options.outlet.signal): Promise<void> {
    const { outlet, tokens, resumeToken, clock, sent } = this.#options;
    const header = {
      sequence: ++this.#sequence,
      positionToken: through ? tokens.encode(through) : '',
      resumeToken: through ? resumeToken(through) : '',
      serverTime: clock(),
    };
    const keepsUp = outlet.write(messages.withHeader(header, event));
    sent();
    if (!keepsUp) await this.#room(signal);
  }

  /** The last has the tokens. */
  async sendAll(events: readonly Uint8Array[], through?: Position, signal?: AbortSignal): Promise<void> {
    for (const [n, event] of events.entries())
      await this.send(event, n === events.length - 1 ? through : undefined, signal);
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
