/**
 * One call as handlers see it.
 *
 * grpc-js emits "cancelled" at the end of every call, also of those that went well, and "drain" never again once
 * the client has gone; both are dealt with here, so that handlers only know one ending.
 */
import type { EventEmitter } from 'node:events';
import { constants, type ServerHttp2Stream } from 'node:http2';
import { Duplex } from 'node:stream';
import type { ServerDuplexStream, ServerUnaryCall, ServerWritableStream } from '@grpc/grpc-js';
import { Metadata } from '@grpc/grpc-js';
import type { Outlet } from './watch/outlet.ts';
import { Ending } from './ending.ts';
import { callCancelled, positionTrailer, serverStopping } from './errors.ts';
import type { StopSignal } from './stop-signal.ts';

type AnyCall =
  | ServerUnaryCall<Buffer, Uint8Array>
  | ServerWritableStream<Buffer, Uint8Array>
  | ServerDuplexStream<Buffer, Uint8Array>;

export class Call {
  /** When the client stops waiting, in milliseconds since 1970; Infinity: never. */
  readonly deadline: number;
  /** Undefined while it says nothing. */
  trailer: Metadata | undefined;
  readonly #call: AnyCall;
  readonly #stopping: StopSignal;
  #ending: Ending | undefined;
  #gone: (() => void) | undefined;
  #stopped: (() => void) | undefined;

  constructor(call: AnyCall, stopping: StopSignal) {
    this.#call = call;
    this.#stopping = stopping;
    const deadline = call.getDeadline();
    this.deadline = deadline instanceof Date ? deadline.getTime() : deadline;
  }

  get ending(): Ending {
    // Most unary calls never wait for anything, and need no listeners.
    return (this.#ending ??= this.#listen());
  }

  /** The client will not see anything any more. */
  get gone(): boolean {
    return this.#call.cancelled;
  }

  /** Says what the answer is based on, in the trailing metadata. */
  setPosition(token: string): void {
    this.trailer ??= new Metadata();
    this.trailer.set(positionTrailer, token);
  }

  /** It has been answered: there is nothing to listen to any more. */
  dispose(): void {
    if (!this.#gone || !this.#stopped) return;
    const call: EventEmitter = this.#call;
    call.off('cancelled', this.#gone);
    call.off('close', this.#gone);
    this.#stopping.forget(this.#stopped);
  }

  #listen(): Ending {
    const ending = new Ending();
    const gone = (this.#gone = (): void => ending.end(callCancelled()));
    const stopped = (this.#stopped = (): void => ending.end(serverStopping()));
    const call: EventEmitter = this.#call;
    call.on('cancelled', gone);
    call.on('close', gone);
    this.#stopping.listen(stopped);
    if (this.#call.cancelled) gone();
    else if (this.#stopping.stopped) stopped();
    return ending;
  }
}

/** What grpc-js (1.14) keeps to itself; a test notices if it is somewhere else. */
function http2StreamOf(call: object): Pick<ServerHttp2Stream, 'close'> | undefined {
  let inner: unknown = call;
  while (typeof inner === 'object' && inner !== null) {
    if ('stream' in inner && inner.stream instanceof Duplex && 'close' in inner.stream)
      return inner.stream as ServerHttp2Stream;
    inner = 'call' in inner ? inner.call : 'nextCall' in inner ? inner.nextCall : undefined;
  }
  return undefined;
}

/** A call whose answer is a stream of encoded messages. */
export class StreamCall extends Call implements Outlet {
  readonly transport = 'grpc';
  readonly #stream: ServerWritableStream<Buffer, Uint8Array> | ServerDuplexStream<Buffer, Uint8Array>;

  constructor(
    stream: ServerWritableStream<Buffer, Uint8Array> | ServerDuplexStream<Buffer, Uint8Array>,
    stopping: StopSignal,
  ) {
    super(stream, stopping);
    this.#stream = stream;
  }

  /** Sends a message. False: the client does not keep up; wait for `room` before the next. */
  write(message: Uint8Array): boolean {
    if (this.gone) return false;
    return this.#stream.write(message);
  }

  /** Resolves when the client has taken enough; rejects with the signal's reason when waiting is over. */
  async room(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const stream: EventEmitter = this.#stream;
    if (!this.#stream.writableNeedDrain) return;
    await new Promise<void>((resolve, reject) => {
      const aborted = (): void => {
        stream.off('drain', go);
        reject(signal.reason);
      };
      const go = (): void => {
        signal.removeEventListener('abort', aborted);
        resolve();
      };
      stream.once('drain', go);
      signal.addEventListener('abort', aborted, { once: true });
    });
  }

  /** Host of the client's end of the connection. */
  get client(): string {
    return this.#stream.getPeer().replace(/:\d+$/, '');
  }

  /**
   * Ends the stream of a client that does not read. By way of grpc-js it would not end before the client reads on:
   * every status waits behind the messages. The client gets RESOURCE_EXHAUSTED at once.
   */
  cutOff(): void {
    http2StreamOf(this.#stream)?.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }

  /** Calls back whenever the client has made room again. */
  onRoom(listener: () => void): void {
    this.#stream.on('drain', listener);
  }
}
