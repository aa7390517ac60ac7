/**
 * The end of the log as it grows: one server subscription for all subscribers of this process, kept alive.
 *
 *   idle → starting (where is the head?) → following → (the subscription ended, whatever way) → following …
 *
 * The server's messages go straight into a bounded ring, never waiting for a subscriber, so that the server has no
 * slow consumer here; a subscriber that falls out of the ring reads pages until it is back. "Caught up" and
 * "checkpoint" messages take effect in their turn, after the events before them.
 *
 * A subscription ends with an error, or normally, or falls silent while the log grows. All three are the same: it is
 * started again after the last event received. Ended for slowness (server 23.10 does that readily) it is so at
 * once and without a word; else with growing, jittered pauses.
 */
import type { ClientReadableStream } from '@grpc/grpc-js';
import type {
  ReadReq_Options,
  ReadReq_Options_AllOptions,
  ReadResp,
} from '../../gen/event_store/client/streams.ts';
import { backoff, type Edges } from '../edges.ts';
import { healed } from '../healed.ts';
import { errorText, type StoreLog } from '../log.ts';
import { comparePositions, LogDamaged, logStart, type Position, type RecordedEvent } from '../port.ts';
import type { Connection } from './connection.ts';
import { isSlowConsumer } from './errors.ts';
import { decodeEvent, namespaceFilter } from './events.ts';
import type { Reader } from './reader.ts';
import { RecentEvents, type RecentLimits } from './recent-events.ts';

export interface LiveTailOptions {
  readonly connection: Connection;
  readonly reader: Reader;
  readonly prefix: Buffer;
  readonly limits: RecentLimits;
  /** Milliseconds of silence after which the log is asked whether it really does not grow. */
  readonly watchEvery: number;
  readonly edges: Edges;
  readonly log: StoreLog;
}

/** The server says how far it has looked every so many times 32 events that are not ours. */
const checkpointInterval = 32;
const watchPage = { events: 256, bytes: 1024 * 1024 };

export class LiveTail {
  readonly #options: LiveTailOptions;
  readonly #followers = new Set<() => void>();
  readonly #runs = new Set<Promise<void>>();
  #stop: AbortController | undefined;
  #recent: RecentEvents | undefined;
  #live = false;
  #damage: LogDamaged | undefined;
  /** Counts messages, so that silence can be told. */
  #heard = 0;

  constructor(options: LiveTailOptions) {
    this.#options = options;
  }

  /** Calls `wake` whenever there is news. Gives the function that stops it. */
  follow(wake: () => void): () => void {
    this.#followers.add(wake);
    if (!this.#stop) {
      this.#stop = new AbortController();
      const run = this.#run(this.#stop.signal);
      this.#runs.add(run);
      void run.finally(() => this.#runs.delete(run));
    }
    return () => {
      this.#followers.delete(wake);
      if (this.#followers.size === 0) this.#end();
    };
  }

  /** Whether everything after a position, as far as it is known, can be had from here. */
  reaches(position: Position): boolean {
    return this.#recent?.reaches(position) ?? false;
  }

  /** Where the ring begins to be of use: nothing before has to be waited for. Undefined until it is known. */
  get through(): Position | undefined {
    return this.#recent?.through;
  }

  /** There is nothing more for now: the server has said so, or a read of the log has shown it. */
  get live(): boolean {
    return this.#live;
  }

  /** Throws LogDamaged if what comes next cannot be read: nothing more is to be waited for. */
  check(): void {
    if (this.#damage) throw this.#damage;
  }

  from(position: Position, most: number): RecordedEvent[] {
    return this.#recent?.from(position, most) ?? [];
  }

  async close(): Promise<void> {
    this.#end();
    await Promise.all(this.#runs);
  }

  #end(): void {
    this.#stop?.abort();
    this.#stop = undefined;
    this.#recent = undefined;
    this.#live = false;
    this.#damage = undefined;
  }

  #wake(): void {
    for (const wake of this.#followers) wake();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { reader, limits, edges, log } = this.#options;
    const head = await healed(
      () => reader.head(),
      signal,
      { edges, log },
      () => false,
    );
    if (head === undefined || signal.aborted) return;
    const recent = new RecentEvents(limits, head);
    this.#recent = recent;
    this.#wake();
    let attempt = 0;
    while (!signal.aborted) {
      const heardBefore = this.#heard;
      const why = await this.#followOnce(recent, signal);
      if (signal.aborted) return;
      this.#live = false;
      if (why instanceof LogDamaged) {
        this.#damage = why;
        this.#wake();
        return;
      }
      if (isSlowConsumer(why)) {
        log('debug', 'the server found the subscription slow; going on from where it was');
        continue;
      }
      if (this.#heard > heardBefore) attempt = 0;
      if (attempt === 0)
        log('warn', 'subscription to the event log ended, starting it again', { error: errorText(why) });
      await edges.pause(backoff(attempt++, edges.random), signal);
    }
  }

  /** One subscription, until it ends; tells why. */
  async #followOnce(recent: RecentEvents, signal: AbortSignal): Promise<unknown> {
    const { connection, edges } = this.#options;
    const gone = new AbortController();
    const over = (): void => gone.abort();
    signal.addEventListener('abort', over, { once: true });
    try {
      const { call, failed, gaveUp } = await connection.open((streams, metadata, options) => {
        const reading = streams.read({ options: this.#request(recent.through) }, metadata, options);
        // From the very start: an error that nobody listens for ends the process.
        reading.on('error', () => undefined);
        return reading;
      }, false);
      try {
        if (signal.aborted) return undefined;
        const ended = this.#pump(call, recent, gone.signal).then((why) => {
          if (why && !isSlowConsumer(why)) void failed(why);
          return why ?? new Error('the server ended it');
        });
        const why = await Promise.race([ended, this.#stalled(recent, gone.signal, edges)]);
        if (!signal.aborted && !isSlowConsumer(why)) gaveUp();
        return why;
      } finally {
        call.cancel();
      }
    } catch (error) {
      return error;
    } finally {
      gone.abort();
      signal.removeEventListener('abort', over);
    }
  }

  #request(after: Position): ReadReq_Options {
    const allOption: ReadReq_Options_AllOptions['allOption'] =
      comparePositions(after, logStart) > 0
        ? { $case: 'position', value: { commitPosition: after.commit, preparePosition: after.prepare } }
        : { $case: 'start', value: {} };
    return {
      streamOption: { $case: 'all', value: { allOption } },
      readDirection: 0,
      resolveLinks: false,
      countOption: { $case: 'subscription', value: {} },
      filterOption: {
        $case: 'filter',
        value: namespaceFilter(this.#options.prefix, 32, checkpointInterval),
      },
      uuidOption: { content: { $case: 'string', value: {} } },
    };
  }

  /** Resolves with the error, or undefined, when the call ends, the signal aborts, or an event cannot be read. */
  #pump(
    call: ClientReadableStream<ReadResp>,
    recent: RecentEvents,
    signal: AbortSignal,
  ): Promise<Error | undefined> {
    return new Promise((resolve) => {
      let isOver = false;
      const end = (error?: Error): void => {
        isOver = true;
        resolve(error);
      };
      signal.addEventListener('abort', () => end(), { once: true });
      call.on('data', ({ content }: ReadResp) => {
        // Nothing may be taken from behind what could not be.
        if (isOver) return;
        this.#options.connection.answered();
        try {
          if (!this.#take(content, recent)) return;
        } catch (error) {
          end(error instanceof Error ? error : new Error(String(error)));
          return;
        }
        this.#heard++;
        this.#wake();
      });
      call.on('error', end);
      call.on('end', () => end());
    });
  }

  /** Whether it is any news. Throws if it is an event that cannot be read. */
  #take(content: ReadResp['content'], recent: RecentEvents): boolean {
    switch (content?.$case) {
      case 'event': {
        const event = content.value.event && decodeEvent(content.value.event, this.#options.prefix);
        if (event) recent.push(event);
        return true;
      }
      case 'checkpoint': {
        const { commitPosition: commit, preparePosition: prepare } = content.value;
        // Other ones (from 24.10 on) are not the place of any event, and may lie behind the last: nothing to keep.
        if (commit !== prepare) return false;
        recent.passed({ commit, prepare });
        return true;
      }
      case 'caughtUp':
        this.#live = true;
        return true;
      case 'fellBehind':
        this.#live = false;
        return true;
      case 'confirmation':
      case 'streamNotFound':
      case undefined:
        return false;
    }
  }

  /**
   * Resolves when the log holds an event of ours that the subscription has not brought though it had the time.
   * Where only events of others have come, notes that they are passed; where there are none at all, that the end is
   * reached (a subscription that fell silent before it said so has nothing to be missed by).
   */
  async #stalled(recent: RecentEvents, signal: AbortSignal, edges: Edges): Promise<Error> {
    let missing: Position | undefined;
    for (;;) {
      const heard = this.#heard;
      await edges.pause(this.#options.watchEvery, signal);
      if (signal.aborted) return new Error('not needed any more');
      if (missing && comparePositions(recent.through, missing) < 0 && this.#heard === heard) {
        return new Error('it was silent while the log grew');
      }
      missing = undefined;
      if (this.#heard === heard) missing = await this.#look(recent, signal);
    }
  }

  /** Where the log holds an event of ours beyond the ring, if it does; if not, that the ring is at the end. */
  async #look(recent: RecentEvents, signal: AbortSignal): Promise<Position | undefined> {
    for (;;) {
      const from = recent.through;
      const page = await this.#options.reader.logPage(from, watchPage, 'all').catch(() => undefined);
      if (!page || signal.aborted || comparePositions(recent.through, from) !== 0) return undefined;
      const [first] = page.events;
      if (first) return first.position;
      const isNews = comparePositions(page.through, from) > 0 || (!page.full && !this.#live);
      recent.passed(page.through);
      this.#live ||= !page.full;
      if (isNews) this.#wake();
      if (!page.full) return undefined;
    }
  }
}
