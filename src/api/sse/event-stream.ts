/**
 * One browser that watches: a response that goes on. Nothing is said before the watch has something to say, so that
 * until then it can still be refused with a status.
 */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { jittered } from '../edges.ts';
import { Ending } from '../ending.ts';
import { callCancelled, type ErrorBody, serverStopping } from '../errors.ts';
import type { StopSignal } from '../stop-signal.ts';
import type { Viewer } from '../watch/watch-method.ts';
import { type EventFormat, eventText, retryText } from './event-format.ts';

/** Before a browser connects again, at least; up to twice as long, so that not all come at once. */
const reconnectMs = 1_000;

export const streamHeaders = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store',
  // Proxies that buffer would keep events until they have many.
  'x-accel-buffering': 'no',
} as const;

export class EventStream implements Viewer {
  readonly deadline = Infinity;
  readonly transport = 'sse';
  readonly client: string;
  readonly #response: ServerResponse;
  readonly #format: EventFormat;
  readonly ending = new Ending();
  readonly #stopping: StopSignal;
  readonly #stopped = (): void => this.ending.end(serverStopping());

  constructor(response: ServerResponse, format: EventFormat, stopping: StopSignal) {
    this.#response = response;
    this.#format = format;
    this.client = response.req.socket.remoteAddress ?? 'unknown';
    this.#stopping = stopping;
    const gone = (): void => this.ending.end(callCancelled());
    response.on('close', gone);
    // What fails is the socket, and that is closed then.
    response.on('error', gone);
    stopping.listen(this.#stopped);
    if (response.destroyed) gone();
    else if (stopping.stopped) this.#stopped();
  }

  /** Whether anything was said; from then on there is no status any more. */
  get begun(): boolean {
    return this.#response.headersSent;
  }

  write(message: Uint8Array): boolean {
    if (this.ending.over) return false;
    this.#begin();
    return this.#response.write(this.#format.textOf(message));
  }

  async room(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.ending.throwIfOver();
    if (!this.#response.writableNeedDrain) return;
    await once(this.#response, 'drain', { signal }).catch((error: unknown) => {
      signal.throwIfAborted();
      throw error;
    });
  }

  /** With a reset: what the kernel holds for it is freed, too. */
  cutOff(): void {
    this.#response.req.socket.resetAndDestroy();
  }

  /** Says why it ends, and ends. A browser connects again, unless the page closes its EventSource. */
  end(why: ErrorBody): void {
    if (this.#response.destroyed) return;
    this.#begin();
    const { retryAfterMs } = why;
    const retry = retryAfterMs === undefined ? '' : retryText(retryAfterMs + jittered(retryAfterMs));
    this.#response.end(`${retry}${eventText('end', why)}`);
  }

  /** The watch is over: there is nothing to listen to any more. */
  dispose(): void {
    this.#stopping.forget(this.#stopped);
  }

  #begin(): void {
    if (this.begun) return;
    this.#response.writeHead(200, streamHeaders);
    this.#response.write(`${retryText(reconnectMs + jittered(reconnectMs))}\n`);
  }
}
