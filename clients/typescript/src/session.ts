/** Calls and watches of one session: what it reads is never older than what it did. */
import { type ClientDuplexStream, type ClientReadableStream, Metadata } from '@grpc/grpc-js';
import type { Channels } from './channels.ts';
import { newRequestId, now } from './edges.ts';
import { TallybackError } from './errors.ts';
import type { CommandReceipt } from './gen/tallyback/common/v1/command.ts';
import { ReadConsistency } from './gen/tallyback/common/v1/consistency.ts';
import { WatchOptions } from './gen/tallyback/common/v1/watch.ts';
import { SystemServiceDefinition as system } from './gen/tallyback/system/v1/system_service.ts';
import { millisecondsOf } from './duration.ts';
import { type CallOptions, type Method, pathOf, type Service } from './methods.ts';
import { SessionPosition } from './position.ts';
import { callUnary } from './unary.ts';
import type { RowForm, WatchRequest } from './watch/kind.ts';
import type { WatchMessage } from './watch/message.ts';
import { ResumingWatch, type Watch } from './watch/watch.ts';

export interface SessionOptions {
  /** Milliseconds for a call with all its repeats. Default 30,000. */
  readonly deadlineMs?: number;
  /** Milliseconds after which an attempt without an answer is given up, and made again. Default 10,000. */
  readonly attemptMs?: number;
  /**
   * Longest wait, in milliseconds, before a call is made or a watch is opened again, unless the server asks for more.
   * Default 5,000.
   */
  readonly mostBackoffMs?: number;
  /** Whether queries and watches must show what this session has done. Default true. */
  readonly readYourWrites?: boolean;
  /** Also what policies did because of it, such as an order's rebate. Default false. */
  readonly includingEffects?: boolean;
  /** Milliseconds that the snapshot of a watch may take to begin, and to go on. Default 90,000. */
  readonly snapshotSilenceMs?: number;
}

/** For one watch. */
export interface WatchCallOptions extends Pick<CallOptions, 'readYourWrites' | 'includingEffects'> {
  /** Closes the watch. */
  readonly signal?: AbortSignal;
}

/** Fields that mean the same in all messages that have them. */
interface CommonFields {
  requestId?: string;
  consistency?: ReadConsistency | undefined;
  asOf?: object | undefined;
  receipt?: CommandReceipt | undefined;
}

const serialise = (bytes: Uint8Array): Buffer => Buffer.from(bytes);

/** What the server leaves of the time to wait, to say that it was not enough. */
const answerMs = 1_000;

export class Session {
  readonly #channels: Channels;
  readonly #options: Required<SessionOptions>;
  readonly #position = new SessionPosition();

  constructor(channels: Channels, options: SessionOptions) {
    this.#channels = channels;
    this.#options = {
      deadlineMs: 30_000,
      attemptMs: 10_000,
      mostBackoffMs: 5_000,
      readYourWrites: true,
      includingEffects: false,
      snapshotSilenceMs: 90_000,
      ...options,
    };
  }

  /** A token that everything this session did is within; empty: it has done nothing yet. */
  position(options: CallOptions = {}): Promise<string> {
    return this.#latest(this.#until(options), options.signal);
  }

  /** From now on, reads must show that too. */
  adopt(positionToken: string): void {
    this.#position.note(positionToken, 0, false);
  }

  /** A unary call. With `isPlain`, the request's consistency is left as it is. */
  async invoke(
    path: string,
    method: Method,
    request: object,
    options: CallOptions = {},
    isPlain = false,
  ): Promise<object> {
    const until = this.#until(options);
    const message: CommonFields = method.requestType.fromPartial(request);
    if (message.requestId === '') message.requestId = newRequestId();
    const { requestId = '' } = message;
    // What was is as it was, whatever has been done since.
    if ('consistency' in message && !message.asOf && !isPlain)
      message.consistency = await this.#consistency(message.consistency, options, until);
    const waitMs = millisecondsOf(message.consistency?.maxWait) ?? 0;
    const sent = this.#position.sent;
    try {
      const bytes = await callUnary(this.#channels.calls, {
        path,
        request: method.requestType.encode(message).finish(),
        repeatable: method.options.idempotencyLevel !== undefined,
        until,
        mostBackoffMs: this.#options.mostBackoffMs,
        attemptMs: Math.max(this.#options.attemptMs, waitMs === 0 ? 0 : waitMs + answerMs),
        signal: options.signal,
        requestId,
      });
      const answer: CommonFields = method.responseType.decode(bytes);
      const { receipt } = answer;
      if (receipt) this.#position.note(receipt.positionToken, sent, !receipt.duplicate && !receipt.unchanged);
      return answer;
    } catch (error) {
      if (error instanceof TallybackError) this.#position.note(error.positionToken, sent, false);
      throw error;
    }
  }

  /** A stream of answers as it is: it ends with the call. */
  answers<Answer extends object>(
    service: Service,
    method: Method<object, Answer>,
    request: object,
  ): ClientReadableStream<Answer> {
    const bytes = method.requestType.encode(method.requestType.fromPartial(request)).finish();
    return this.#stream(pathOf(service, method), (answer) => method.responseType.decode(answer), bytes);
  }

  /** Streams in both directions. */
  duplex<Request extends object, Answer extends object>(
    service: Service,
    method: Method<Request, Answer>,
  ): ClientDuplexStream<Request, Answer> {
    return this.#channels.calls.makeBidiStreamRequest(
      pathOf(service, method),
      (request: Request) => Buffer.from(method.requestType.encode(request).finish()),
      (bytes) => method.responseType.decode(bytes),
      new Metadata(),
    );
  }

  watch<Changes, Row, Removed>(
    service: Service,
    method: Method<WatchRequest, WatchMessage<Changes>>,
    form: RowForm<Changes, Row, Removed>,
    request: object,
    options: WatchCallOptions = {},
  ): Watch<Row, Removed> {
    const message = method.requestType.fromPartial(request);
    const path = pathOf(service, method);
    const decode = (bytes: Uint8Array) => method.responseType.decode(bytes);
    const { open } = this.#channels;
    const watch = new ResumingWatch({
      form,
      options: message.options ?? WatchOptions.fromPartial({}),
      signal: options.signal,
      mostBackoffMs: this.#options.mostBackoffMs,
      snapshotSilenceMs: this.#options.snapshotSilenceMs,
      open: async (watchOptions, isFirst, signal) => {
        const until = this.#until({});
        const consistency = isFirst
          ? await this.#consistency(message.consistency, { ...options, signal }, until)
          : undefined;
        const bytes = method.requestType.encode({ ...message, consistency, options: watchOptions }).finish();
        return this.#stream(path, decode, bytes);
      },
    });
    open.add(watch);
    const forget = (): void => void open.delete(watch);
    watch.ended.then(forget, forget);
    return watch;
  }

  #stream<Answer>(
    path: string,
    decode: (bytes: Uint8Array) => Answer,
    request: Uint8Array,
  ): ClientReadableStream<Answer> {
    return this.#channels.watches.makeServerStreamRequest(path, serialise, decode, request, new Metadata());
  }

  #until({ deadlineMs = this.#options.deadlineMs }: CallOptions): number {
    return now() + deadlineMs;
  }

  #latest(until: number, signal: AbortSignal | undefined): Promise<string> {
    return this.#position.latest(async () => {
      const { listCheckpoints } = system.methods;
      const bytes = await callUnary(this.#channels.calls, {
        path: pathOf(system, listCheckpoints),
        request: listCheckpoints.requestType.encode({}).finish(),
        repeatable: true,
        until,
        attemptMs: this.#options.attemptMs,
        mostBackoffMs: this.#options.mostBackoffMs,
        signal,
        requestId: '',
      });
      return listCheckpoints.responseType.decode(bytes).headToken;
    });
  }

  async #consistency(
    asked: ReadConsistency | undefined,
    options: CallOptions,
    until: number,
  ): Promise<ReadConsistency | undefined> {
    const { readYourWrites, includingEffects } = { ...this.#options, ...options };
    if (!readYourWrites || (asked && asked.atLeast !== '')) return asked;
    const atLeast = await this.#latest(until, options.signal);
    if (atLeast === '') return asked;
    const base = asked ?? ReadConsistency.fromPartial({});
    return { ...base, atLeast, includingEffects: base.includingEffects || includingEffects };
  }
}
