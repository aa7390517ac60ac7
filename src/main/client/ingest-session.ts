/**
 * Sends records over the Ingest stream and sees every one of them to its verdict.
 *
 *   sent ──verdict──▶ done
 *    ▲ │ stream lost
 *    └─┘ (reconnect after a jittered wait, and send again, in the first order, what has no verdict yet)
 *
 * Sending again is safe because every record has a request id: what was carried out already is answered as a
 * duplicate. The server keeps the order of records about one member within a stream; a record sent again comes
 * before all that were first sent after it, so that order holds over reconnects too.
 */
import { type ClientDuplexStream, status as statusCodes, type StatusObject } from '@grpc/grpc-js';
import type {
  IngestRequest,
  IngestResponse,
  IngestServiceClient,
} from '../../gen/tallyback/ingest/v1/ingest_service.ts';
import { backoffMs } from './backoff.ts';
import { describeFailure, isTooLarge, mayPass, readFailure } from './errors.ts';
import { Waiters } from './waiters.ts';

export type IngestRecord = NonNullable<IngestRequest['record']>;
export type IngestVerdict = NonNullable<IngestResponse['verdict']>;

export interface SessionOptions {
  readonly client: IngestServiceClient;
  /** Most records without a verdict; `room()` waits beyond that. */
  readonly window: number;
  /** Called in the order verdicts come in. */
  readonly onVerdict: (record: IngestRecord, verdict: IngestVerdict) => void;
  readonly onLost?: (why: string, retryInMs: number) => void;
  /** Gives up when a lost stream has brought no verdict for so long. Default two minutes. */
  readonly giveUpAfterMs?: number;
  /** A stream that owes verdicts and brings none for so long counts as lost. Default one minute. */
  readonly stallAfterMs?: number;
  readonly random?: () => number;
  readonly signal: AbortSignal;
}

/** The session cannot go on. What has had its verdict is safe; all may be sent again. */
export class IngestFailed extends Error {
  override readonly name = 'IngestFailed';
}

type Stream = ClientDuplexStream<IngestRequest, IngestResponse>;

export class IngestSession {
  readonly #options: SessionOptions;
  /** Insertion order is sending order. */
  readonly #unanswered = new Map<bigint, IngestRequest>();
  readonly #waiters = new Waiters();
  readonly #watchdog: NodeJS.Timeout;
  #unwritten: IngestRequest[] = [];
  #nextSequence = 1n;
  #stream: Stream | undefined;
  #writable = false;
  #retry: NodeJS.Timeout | undefined;
  #attempt = 0;
  #failingSince: number | undefined;
  #lastSign = 0;
  #closed = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    const stallAfterMs = options.stallAfterMs ?? 60_000;
    this.#watchdog = setInterval(() => this.#checkStall(stallAfterMs), Math.min(1_000, stallAfterMs / 4));
    this.#watchdog.unref();
    options.signal.addEventListener('abort', this.#aborted, { once: true });
    if (options.signal.aborted) this.#aborted();
    else this.#open();
  }

  get unanswered(): number {
    return this.#unanswered.size;
  }

  /** Undefined when a record may be sent now; otherwise resolves when one may be. Rejects when the session failed. */
  room(): Promise<void> | undefined {
    const { window } = this.#options;
    if (this.#unanswered.size < window) return this.#waiters.failure;
    // Woken a little later than need be, so that a sender is not woken for every single verdict.
    return this.#waiters.until(() => this.#unanswered.size <= window - Math.ceil(window / 8));
  }

  /** Takes a record on. The session keeps it until its verdict is in. */
  send(record: IngestRecord): void {
    if (this.#unanswered.size === 0) this.#lastSign = performance.now();
    const request = { sequence: this.#nextSequence, record };
    this.#nextSequence += 1n;
    this.#unanswered.set(request.sequence, request);
    if (this.#stream && this.#writable && this.#unwritten.length === 0) {
      this.#writable = this.#stream.write(request);
    } else {
      this.#unwritten.push(request);
    }
  }

  /** Resolves when every record has its verdict. */
  async answered(): Promise<void> {
    await this.#waiters.until(() => this.#unanswered.size === 0);
  }

  /** Ends the stream; records without a verdict are given up. */
  async close(): Promise<void> {
    const stream = this.#stream;
    this.#finish(new IngestFailed('the session is closed'));
    if (!stream) return;
    await new Promise<void>((resolve) => {
      const impatience = setTimeout(() => stream.cancel(), 2_000);
      stream.once('status', () => {
        clearTimeout(impatience);
        resolve();
      });
      stream.end();
    });
  }

  #open(): void {
    this.#retry = undefined;
    const stream = this.#options.client.ingest();
    this.#stream = stream;
    this.#writable = true;
    this.#lastSign = performance.now();
    this.#unwritten = [...this.#unanswered.values()];
    stream.on('data', (response: IngestResponse) => {
      if (stream === this.#stream) this.#take(response);
    });
    stream.on('drain', () => {
      if (stream === this.#stream) this.#pump();
    });
    // 'status' comes exactly once however the stream ends, 'error' only sometimes; it just has to be listened to.
    stream.on('error', () => undefined);
    stream.on('status', (status: StatusObject) => {
      if (stream === this.#stream) this.#lost(status);
    });
    this.#pump();
  }

  #pump(): void {
    this.#writable = true;
    let sent = 0;
    while (this.#stream && this.#writable && sent < this.#unwritten.length) {
      const request = this.#unwritten[sent];
      sent += 1;
      if (request) this.#writable = this.#stream.write(request);
    }
    this.#unwritten = this.#unwritten.slice(sent);
  }

  #take({ sequence, verdict }: IngestResponse): void {
    this.#lastSign = performance.now();
    this.#attempt = 0;
    this.#failingSince = undefined;
    const request = this.#unanswered.get(sequence);
    if (!request?.record || !verdict) {
      const why = verdict?.$case === 'refused' ? ` (${verdict.value.reason}: ${verdict.value.message})` : '';
      this.#fail(
        new IngestFailed(`the server answered a record that was not sent: number ${sequence}${why}`),
      );
      return;
    }
    this.#unanswered.delete(sequence);
    try {
      this.#options.onVerdict(request.record, verdict);
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#waiters.wake();
  }

  #lost(status: StatusObject): void {
    this.#stream = undefined;
    if (this.#closed) return;
    const failure = readFailure(status);
    const why = failure.code === statusCodes.OK ? 'the server ended the stream' : describeFailure(failure);
    if (!mayPass(failure)) {
      this.#fail(
        new IngestFailed(isTooLarge(failure) ? `a record is larger than the server takes; ${why}` : why),
      );
      return;
    }
    const { giveUpAfterMs = 120_000, random, onLost } = this.#options;
    const now = performance.now();
    // A stream that owed nothing and lived for a while was fine; its end starts a new count.
    if (this.#unanswered.size === 0 && now - this.#lastSign > 5_000) {
      this.#attempt = 0;
      this.#failingSince = undefined;
    }
    this.#failingSince ??= now;
    const wait = backoffMs(this.#attempt, random ? { random } : {});
    this.#attempt += 1;
    if (now + wait - this.#failingSince > giveUpAfterMs) {
      const seconds = Math.round(giveUpAfterMs / 1_000);
      this.#fail(new IngestFailed(`no answer from the server for ${seconds} s; last: ${why}`));
      return;
    }
    onLost?.(why, wait);
    this.#retry = setTimeout(() => this.#open(), wait);
  }

  #checkStall(stallAfterMs: number): void {
    if (this.#unanswered.size === 0 || !this.#stream) return;
    if (performance.now() - this.#lastSign > stallAfterMs) this.#stream.cancel();
  }

  readonly #aborted = (): void => this.#fail(this.#options.signal.reason);

  #fail(reason: unknown): void {
    const stream = this.#stream;
    this.#finish(reason);
    stream?.cancel();
  }

  #finish(reason: unknown): void {
    this.#closed = true;
    this.#stream = undefined;
    clearInterval(this.#watchdog);
    clearTimeout(this.#retry);
    this.#options.signal.removeEventListener('abort', this.#aborted);
    this.#waiters.fail(reason);
  }
}
