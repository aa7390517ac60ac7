/**
 * A watch that outlives its streams.
 *
 *   open      the first time: as fresh as asked for; then with the last resume token, without a snapshot
 *   follow    messages → rows → event, each handed over before the next is read
 *   broken    UNAVAILABLE, RESOURCE_EXHAUSTED, silence, a gap …: waits (as long as the server says, or an exponential
 *             back-off with jitter) and opens again
 *             RESUME_TOKEN_OUTDATED, _INVALID, _FOREIGN: opens again without a token, which brings a snapshot
 *             anything else: the watch fails
 */
import type { ClientReadableStream } from '@grpc/grpc-js';
import { backoffMs } from '../backoff.ts';
import { pause } from '../edges.ts';
import { TallybackError } from '../errors.ts';
import type { WatchOptions } from '../gen/tallyback/common/v1/watch.ts';
import { millisecondsOf } from '../duration.ts';
import { Handover } from './handover.ts';
import type { RowForm } from './kind.ts';
import type { WatchMessage } from './message.ts';
import { Replica, type WatchEvent } from './replica.ts';
import { messagesOf } from './stream.ts';

/** The rows of a read model that match a filter, as they change. */
export interface Watch<Row, Removed = never> extends AsyncIterable<WatchEvent<Row, Removed>> {
  /**
   * The rows now, by key. They change by themselves, whether somebody iterates or not; with one who does, they are as
   * the event before left them. Ask anew after every wait: after a snapshot it is another map.
   */
  readonly rows: ReadonlyMap<string, Row>;
  /** Of the rows: everything up to it is in them. Usable as `ReadConsistency.atLeast`; empty before the first. */
  readonly positionToken: string;
  /** Of the rows: `options.resumeToken` of another watch with the same filter. Empty before there is one. */
  readonly resumeToken: string;
  /** Resolves when the watch is closed. Rejects with the TallybackError of what cannot be watched. */
  readonly ended: Promise<void>;
  /**
   * Resolves when everything up to a position token, such as that of a command, is in the rows. Rejects with the
   * TallybackError of a token that the server does not know. Who iterates must go on doing so meanwhile.
   */
  until(positionToken: string): Promise<void>;
  /** Ends the stream and the iteration, without an error. */
  close(): void;
  /** What happens, from now on. By one at a time; it ends with the watch, and the watch with it. */
  [Symbol.asyncIterator](): AsyncIterator<WatchEvent<Row, Removed>, undefined>;
}

export interface WatchParts<Changes, Row, Removed> {
  readonly form: RowForm<Changes, Row, Removed>;
  readonly options: WatchOptions;
  /** Opens a stream; `isFirst`: as fresh as the request and the session ask for. */
  readonly open: (
    options: WatchOptions,
    isFirst: boolean,
    signal: AbortSignal,
  ) => Promise<ClientReadableStream<WatchMessage<Changes>>>;
  /** Ends the watch. */
  readonly signal: AbortSignal | undefined;
  /** Longest wait before a new stream in milliseconds, unless the server asks for more. */
  readonly mostBackoffMs: number;
  /** Milliseconds that a snapshot may take to begin, and to go on. */
  readonly snapshotSilenceMs: number;
}

interface Goal {
  readonly token: string;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const defaultHeartbeat = { seconds: 10n, nanos: 0 };

const withoutToken = new Set(['RESUME_TOKEN_OUTDATED', 'RESUME_TOKEN_INVALID', 'RESUME_TOKEN_FOREIGN']);
const ofPosition = new Set(['POSITION_UNKNOWN', 'POSITION_TOKEN_INVALID']);

/** Not an error: the stream is broken off to be opened in another way. */
class Reopened extends Error {}

export class ResumingWatch<Changes, Row, Removed> implements Watch<Row, Removed> {
  readonly #parts: WatchParts<Changes, Row, Removed>;
  readonly #options: WatchOptions;
  readonly #replica: Replica<Changes, Row, Removed>;
  readonly #over = new AbortController();
  readonly ended: Promise<void>;
  #handover: Handover<WatchEvent<Row, Removed>> | undefined;
  #stream: ClientReadableStream<WatchMessage<Changes>> | undefined;
  /** Whether anything could be resumed yet: until then the first request is repeated as it was. */
  #isFirst = true;
  #attempt = 0;
  #goals: Goal[] = [];
  /** Token that the open stream was asked not to be caught up before. */
  #aim = '';
  #reopens = false;

  constructor(parts: WatchParts<Changes, Row, Removed>) {
    this.#parts = parts;
    this.#options = {
      ...parts.options,
      heartbeatInterval: parts.options.heartbeatInterval ?? defaultHeartbeat,
    };
    this.#replica = new Replica(parts.form, millisecondsOf(this.#options.heartbeatInterval) ?? 0);
    this.#replica.resumeToken = this.#options.resumeToken;
    if (parts.signal?.aborted) this.close();
    parts.signal?.addEventListener('abort', this.#closed);
    this.ended = this.#run();
    // Who iterates hears of it too; nobody has to.
    this.ended.catch(() => undefined);
  }

  get rows(): ReadonlyMap<string, Row> {
    return this.#replica.rows;
  }

  get positionToken(): string {
    return this.#replica.positionToken;
  }

  get resumeToken(): string {
    return this.#replica.resumeToken;
  }

  until(positionToken: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#over.signal.throwIfAborted();
      this.#goals.push({ token: positionToken, resolve, reject });
      this.#aimAgain();
    });
  }

  close(): void {
    this.#end(undefined);
  }

  [Symbol.asyncIterator](): AsyncIterator<WatchEvent<Row, Removed>, undefined> {
    if (this.#handover) throw new Error('somebody iterates over this watch already');
    const handover = new Handover<WatchEvent<Row, Removed>>();
    this.#handover = handover;
    if (this.#over.signal.aborted)
      this.ended.then(() => handover.end(undefined)).catch((error) => handover.end(error));
    return {
      next: () => handover.next(),
      return: async () => {
        this.close();
        return { value: undefined, done: true };
      },
    };
  }

  readonly #closed = (): void => this.close();

  #end(error: unknown): void {
    if (this.#over.signal.aborted) return;
    const reason = error ?? new TallybackError('the watch is closed', { code: 'CANCELLED' });
    this.#over.abort(reason);
    this.#parts.signal?.removeEventListener('abort', this.#closed);
    this.#stream?.cancel();
    this.#handover?.end(error);
    for (const { reject } of this.#goals.splice(0)) reject(reason);
  }

  async #run(): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      try {
        await this.#follow();
      } catch (error) {
        if (signal.aborted) return;
        try {
          await this.#recover(error);
        } catch (fatal) {
          if (signal.aborted) return;
          this.#end(fatal);
          throw fatal;
        }
      }
    }
  }

  /** One stream. Always throws in the end. */
  async #follow(): Promise<never> {
    const replica = this.#replica;
    const { resumeToken } = replica;
    // So that who has just made this watch can say what to wait for.
    await Promise.resolve();
    this.#aim = this.#goals[0]?.token ?? '';
    const changesOnly = this.#options.changesOnly && this.#isFirst;
    const notCaughtUpBefore = this.#aim || this.#options.notCaughtUpBefore;
    const options = { ...this.#options, resumeToken, changesOnly, notCaughtUpBefore };
    const stream = await this.#parts.open(options, this.#isFirst, this.#over.signal);
    this.#stream = stream;
    if (this.#over.signal.aborted) stream.cancel();
    this.#aimAgain();
    replica.begin(resumeToken === '' && !changesOnly);
    const silenceMs = (): number =>
      replica.isLive && !this.#isFirst ? 2 * replica.nextWithinMs : this.#parts.snapshotSilenceMs;
    try {
      for await (const message of messagesOf(stream, silenceMs)) {
        const event = replica.take(message);
        if (message.header?.resumeToken) {
          this.#isFirst = false;
          this.#attempt = 0;
        }
        if (event) await this.#handover?.offer(event);
        if (event?.kind === 'caughtUp') this.#reached();
        if (this.#reopens) break;
      }
    } finally {
      this.#stream = undefined;
    }
    if (this.#reopens) throw new Reopened();
    throw new TallybackError('the server ended the watch', { code: 'UNAVAILABLE' });
  }

  /** Returns when the watch may be opened again; throws if it need not be tried. */
  async #recover(error: unknown): Promise<void> {
    const reopens = this.#reopens;
    this.#reopens = false;
    if (reopens) return;
    if (!(error instanceof TallybackError)) throw error;
    if (this.#aim !== '' && ofPosition.has(error.reason)) {
      this.#settle(this.#aim, ({ reject }) => reject(error));
      return;
    }
    if (withoutToken.has(error.reason) && this.#replica.resumeToken !== '') this.#replica.resumeToken = '';
    else if (!error.mayPass && error.reason !== 'WATCH_BROKEN') throw error;
    const retryInMs = backoffMs(this.#attempt++, this.#parts.mostBackoffMs, error.retryAfterMs);
    await this.#handover?.offer({ kind: 'interrupted', error, retryInMs });
    await pause(retryInMs, this.#over.signal);
  }

  #reached(): void {
    if (this.#aim === '') return;
    this.#settle(this.#aim, ({ resolve }) => resolve());
    this.#aim = '';
    this.#aimAgain();
  }

  #settle(token: string, how: (goal: Goal) => void): void {
    const settled = this.#goals.filter((goal) => goal.token === token);
    this.#goals = this.#goals.filter((goal) => goal.token !== token);
    settled.forEach(how);
  }

  /** A stream is asked for one token when it is opened: for another one it is opened again. */
  #aimAgain(): void {
    if (this.#goals.length === 0 || this.#aim !== '' || !this.#stream) return;
    this.#reopens = true;
    this.#stream.cancel();
  }
}
