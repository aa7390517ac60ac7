/** The event store on Postgres: puts append queue, tail and subscriptions together. */
import { setMaxListeners } from 'node:events';
import type { ClientBase, ClientConfig } from 'pg';
import {
  AppendTooLarge,
  logStart,
  type AppendResult,
  type CopyTarget,
  type EventStore,
  type LogBatch,
  type LogOrigin,
  type NewEvent,
  type Position,
  type RecordedEvent,
  type SubscribeOptions,
} from '../port.ts';
import { type Append, checkAppend, lengthOf } from '../check-append.ts';
import { appendBatch, type Outcome } from './append-batch.ts';
import { AppendQueue } from './append-queue.ts';
import { Database, unavailable } from './database.ts';
import { systemEdges, type Edges } from '../edges.ts';
import { channel, LogNotifier } from './log-notifier.ts';
import { silentLog, type StoreLog } from '../log.ts';
import { LogTail } from './log-tail.ts';
import { LogWatch } from './log-watch.ts';
import { readHead, readLogPage, readStreamPage, toPosition } from './rows.ts';
import { claimAsCopy, ensureSchema, type LogInfo, markComplete } from './schema.ts';
import { subscription } from './subscription.ts';
import { pageEvents, streamEvents } from '../stream-events.ts';
import { Wakeup } from '../wakeup.ts';

export interface PostgresEventStoreOptions {
  readonly connectionString?: string;
  /** Instead of, or beside, a connection string (TLS and the like). */
  readonly client?: ClientConfig;
  /** Make no log where there is none; default false. */
  readonly mustExist?: boolean;
  readonly log?: StoreLog;
  readonly edges?: Partial<Edges>;
  /** Connections for reading, shared by all readers; default 3. Appends and the listener have their own. */
  readonly readConnections?: number;
  /** Longest an append may run in the server, waiting for other processes included; ms, default 10,000. */
  readonly appendTimeout?: number;
  /** Longest a page may take; ms, default 30,000. */
  readonly readTimeout?: number;
  /** Longest connecting may take; ms, default 5,000. */
  readonly connectTimeout?: number;
  readonly tail?: {
    /** Most events held in memory for all subscribers together; default 16,384. */
    readonly events?: number;
    /** Most characters of data and metadata held; default 32 Mi. */
    readonly length?: number;
    /** Listen for other processes' appends (default), or only poll. */
    readonly listen?: boolean;
    /** Milliseconds between polls when nothing is heard: at first (50), slowing down to at most (250). */
    readonly pollLeast?: number;
    readonly pollMost?: number;
  };
}

/** A reader that is behind holds two pages: the one being handled and the one fetched ahead. */
const logPageLimits = { rows: 2_000, bytes: 8 * 1024 * 1024 };
const leastPageRows = 100;
const streamPageLimits = { rows: 1_000, bytes: 8 * 1024 * 1024 };
/** 1,024 refusals are answered in about 60 kB; see AppendQueue. */
const batchLimits = {
  batchAppends: 1_024,
  batchLength: 4 * 1024 * 1024,
};
const notifyInterval = 10;
/** Bounds what one statement has to carry (a text in Postgres ends at 1 GB). In UTF-16 units. */
const largestAppend = 64 * 1024 * 1024;

/**
 * Opens the log in a database (UTF-8), creating it if there is none.
 * Throws EventStoreUnavailable if the database cannot be reached, NoLog if it has none and must have one.
 */
export const openPostgresEventStore = (options: PostgresEventStoreOptions): Promise<EventStore> =>
  open(options, (client) => ensureSchema(client, options.mustExist));

/**
 * Opens the log in a database to be filled with the events of another one: an empty log, or a copy of the same
 * one that is not complete. Throws EventStoreUnavailable, and CopyRefused for any other.
 */
export const openPostgresCopy = (
  options: PostgresEventStoreOptions,
  originStoreId: string,
): Promise<CopyTarget> =>
  open(options, async (client) => {
    await ensureSchema(client, options.mustExist);
    return claimAsCopy(client, originStoreId);
  });

async function open(
  options: PostgresEventStoreOptions,
  prepare: (client: ClientBase) => Promise<LogInfo>,
): Promise<PostgresEventStore> {
  const { connectionString } = options;
  const database = new Database(
    {
      client: { ...options.client, ...(connectionString === undefined ? {} : { connectionString }) },
      readConnections: options.readConnections ?? 3,
      appendTimeout: options.appendTimeout ?? 10_000,
      readTimeout: options.readTimeout ?? 30_000,
      connectTimeout: options.connectTimeout ?? 5_000,
    },
    options.log ?? silentLog,
  );
  try {
    const info = await database.withClient(prepare);
    return new PostgresEventStore(info, database, options, await readHead(database));
  } catch (error) {
    await database.close();
    throw error;
  }
}

class PostgresEventStore implements CopyTarget {
  readonly id: string;
  readonly origin: LogOrigin | undefined;
  readonly #database: Database;
  readonly #queue: AppendQueue;
  readonly #tail: LogTail;
  readonly #watch: LogWatch;
  readonly #notifier: LogNotifier;
  readonly #closed = new AbortController();
  readonly #edges: Edges;
  readonly #log: StoreLog;
  #closing: Promise<void> | undefined;

  constructor(info: LogInfo, database: Database, options: PostgresEventStoreOptions, head: number) {
    // Every read in progress listens for the end; there may be many at once.
    setMaxListeners(0, this.#closed.signal);
    this.id = info.id;
    this.origin = info.origin;
    this.#database = database;
    this.#edges = { ...systemEdges, ...options.edges };
    this.#log = options.log ?? silentLog;
    const limits = { ...batchLimits, maxWait: 3 * (options.appendTimeout ?? 10_000) };
    this.#queue = new AppendQueue((members) => this.#commit(members), limits, this.#edges.clock);
    this.#tail = new LogTail(
      {
        page: (after) => readLogPage(database, after, Number.MAX_SAFE_INTEGER, logPageLimits),
        head: () => readHead(database),
      },
      { events: options.tail?.events ?? 16_384, length: options.tail?.length ?? 32 * 1024 * 1024 },
      head,
    );
    const poll = { least: options.tail?.pollLeast ?? 50, most: options.tail?.pollMost ?? 250 };
    this.#watch = new LogWatch(
      this.#tail,
      () => database.singleClient('listen'),
      { poll, listen: options.tail?.listen ?? true },
      this.#edges,
      this.#log,
    );
    this.#notifier = new LogNotifier(
      (position) => database.notify(channel, `${position}`),
      notifyInterval,
      this.#closed.signal,
      this.#edges.pause,
    );
  }

  async append(stream: string, expectedRevision: number, events: readonly NewEvent[]): Promise<AppendResult> {
    const append = checkAppend(stream, expectedRevision, events);
    if (lengthOf(append.events) > largestAppend) {
      throw new AppendTooLarge(`One append holds at most ${largestAppend} characters`);
    }
    const outcome = await this.#queue.append(append);
    if (outcome.kind !== 'stored' && outcome.kind !== 'stored-before') return outcome;
    const last = outcome.kind === 'stored' ? outcome.events.at(-1) : await this.#lastOf(append);
    if (!last) throw new Error(`An append to ${stream} was answered, but its events are not there`);
    return { kind: 'appended', revision: last.revision, position: last.position };
  }

  readStream(
    stream: string,
    options: { readonly from?: number; readonly signal?: AbortSignal } = {},
  ): AsyncIterable<RecordedEvent> {
    const page = (from: number, nth: number) => {
      const rows = pageEvents(streamPageLimits.rows, nth);
      return readStreamPage(this.#database, stream, from, { ...streamPageLimits, rows });
    };
    return streamEvents(page, Math.max(0, options.from ?? 0), options.signal ?? this.#closed.signal);
  }

  async *subscribe(options: SubscribeOptions): AsyncGenerator<LogBatch, void, undefined> {
    const wakeup = new Wakeup();
    const unfollow = this.#tail.follow(wakeup.ring);
    // Who takes little at a time takes its time: the rest of a page would only lie about.
    const rows = Math.min(
      logPageLimits.rows,
      Math.max(leastPageRows, options.maxBatch ?? logPageLimits.rows),
    );
    this.#watch.update();
    try {
      yield* subscription(options, wakeup, {
        tail: this.#tail,
        page: (after, upTo) => readLogPage(this.#database, after, upTo, { ...logPageLimits, rows }),
        edges: this.#edges,
        log: this.#log,
        closed: this.#closed.signal,
      });
    } finally {
      unfollow();
      this.#watch.update();
    }
  }

  async head(): Promise<Position> {
    const head = await readHead(this.#database);
    return head === 0 ? logStart : toPosition(head);
  }

  async completeCopy(): Promise<void> {
    try {
      await this.#database.withClient(markComplete);
    } catch (error) {
      throw unavailable(error);
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#queue.close();
    this.#closed.abort();
    await this.#watch.close();
    await this.#database.close();
  }

  /** Sends a batch; what it stored goes to this process's subscribers at once and is announced to the others. */
  async #commit(members: readonly Append[]): Promise<Outcome[]> {
    const outcomes = await appendBatch(this.#database, members);
    const stored = outcomes.flatMap((outcome) => (outcome.kind === 'stored' ? outcome.events : []));
    const last = stored.at(-1);
    if (last) {
      this.#tail.committed(stored);
      this.#notifier.committed(Number(last.position.commit));
    }
    return outcomes;
  }

  /** The last event of an append that had been stored before. */
  async #lastOf({ stream, expectedRevision, events }: Append): Promise<RecordedEvent | undefined> {
    for await (const event of this.readStream(stream, { from: expectedRevision + events.length }))
      return event;
    return undefined;
  }
}
