/**
 * A client of watches that knows nothing but the comments in proto/tallyback/common/v1/watch.proto, on the generated
 * stubs alone: a pattern for clients in any language, and the proof that the comments suffice for one.
 */
import { type ClientReadableStream, type StatusObject, status } from '@grpc/grpc-js';
import { setTimeout as pause } from 'node:timers/promises';
import type * as watch from '../../src/gen/tallyback/common/v1/watch.ts';
import { backoffMs } from '../../src/main/client/backoff.ts';
import { readFailure } from '../../src/main/client/errors.ts';

/** Every watch answers with such messages; they differ in what `changes` are made of. */
export interface Message<Changes> {
  readonly header: watch.WatchHeader | undefined;
  readonly event:
    | { $case: 'snapshotStarted'; value: watch.SnapshotStarted }
    | { $case: 'changes'; value: Changes }
    | { $case: 'snapshotCompleted'; value: watch.SnapshotCompleted }
    | { $case: 'caughtUp'; value: watch.CaughtUp }
    | { $case: 'heartbeat'; value: watch.Heartbeat }
    | { $case: 'reset'; value: watch.Reset }
    | { $case: 'fellBehind'; value: watch.FellBehind }
    | undefined;
}

/** What one kind of watch is to a client. */
export interface Watchable<Changes, Row> {
  readonly rows: (changes: Changes) => readonly Row[];
  readonly keyOf: (row: Row) => string;
  /** Keys of what is to be taken away. */
  readonly removals: (changes: Changes) => readonly string[];
}

export interface WatchClientOptions<Changes> {
  /** Begins a stream; called again for every attempt, with the token to go on from ("": none). */
  readonly open: (resumeToken: string) => ClientReadableStream<Message<Changes>>;
  /** What was asked for as `heartbeat_interval`: holds until a Heartbeat says otherwise. */
  readonly heartbeatMs: number;
  readonly received?: (message: Message<Changes>) => void;
  readonly ended?: (how: StatusObject | 'silence') => void;
}

const milliseconds = (of: { seconds: bigint; nanos: number } | undefined): number =>
  of ? Number(of.seconds) * 1_000 + of.nanos / 1e6 : 0;

export class WatchClient<Changes, Row> {
  readonly #kind: Watchable<Changes, Row>;
  readonly #options: WatchClientOptions<Changes>;
  /** The rows as the client may show them. */
  shown = new Map<string, Row>();
  /** Of what is shown. */
  generation = '';
  resumeToken = '';
  /** A snapshot that is not complete. */
  #next: { readonly rows: Map<string, Row>; readonly generation: string } | undefined;
  #attempt = 0;

  constructor(kind: Watchable<Changes, Row>, options: WatchClientOptions<Changes>) {
    this.#kind = kind;
    this.#options = options;
  }

  /** Watches until the signal aborts; rejects if the server calls the request wrong. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const how = await this.#stream(signal);
      this.#next = undefined;
      this.#options.ended?.(how);
      if (how !== 'silence') {
        if (how.code === status.INVALID_ARGUMENT) throw new Error(how.details);
        const { reason } = readFailure(how);
        if (reason === 'RESUME_TOKEN_OUTDATED') this.resumeToken = '';
      }
      const ms = backoffMs(this.#attempt++, { firstMs: 20, mostMs: 500 });
      await pause(ms, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Resolves with how the stream ended. */
  async #stream(signal: AbortSignal): Promise<StatusObject | 'silence'> {
    const call = this.#options.open(this.resumeToken);
    let within = this.#options.heartbeatMs;
    return await new Promise((resolve) => {
      const over = (): void => call.cancel();
      let isOver = false;
      const silence = setTimeout(() => {
        isOver = true;
        resolve('silence');
        call.cancel();
      }, 2 * within);
      signal.addEventListener('abort', over, { once: true });
      call.on('data', (message: Message<Changes>) => {
        // What was still on its way comes again by the next stream.
        if (isOver) return;
        this.#attempt = 0;
        if (message.event?.$case === 'heartbeat') within = milliseconds(message.event.value.nextWithin);
        silence.refresh();
        this.#take(message);
        this.#options.received?.(message);
      });
      call.on('error', () => undefined);
      call.on('status', (how: StatusObject) => {
        isOver = true;
        clearTimeout(silence);
        signal.removeEventListener('abort', over);
        resolve(how);
      });
    });
  }

  #take({ header, event }: Message<Changes>): void {
    if (event?.$case === 'snapshotStarted') {
      this.#next = { rows: new Map(), generation: event.value.generation };
    } else if (event?.$case === 'changes') {
      const rows = this.#next?.rows ?? this.shown;
      for (const row of this.#kind.rows(event.value)) rows.set(this.#kind.keyOf(row), row);
      for (const key of this.#kind.removals(event.value)) rows.delete(key);
    } else if (event?.$case === 'snapshotCompleted' && this.#next) {
      ({ rows: this.shown, generation: this.generation } = this.#next);
      this.#next = undefined;
    }
    if (header?.resumeToken) this.resumeToken = header.resumeToken;
  }
}
