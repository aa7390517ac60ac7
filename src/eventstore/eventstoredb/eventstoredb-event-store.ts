/** The event store on EventStoreDB or KurrentDB: puts connection, appends, reads and the live tail together. */
import { setMaxListeners } from 'node:events';
import { checkAppend } from '../check-append.ts';
import { type Edges, systemEdges } from '../edges.ts';
import { silentLog, type StoreLog } from '../log.ts';
import {
  type AppendResult,
  comparePositions,
  CopyRefused,
  type CopyTarget,
  type EventStore,
  EventStoreUnavailable,
  type LogBatch,
  type NewEvent,
  type Position,
  type RecordedEvent,
  type SubscribeOptions,
} from '../port.ts';
import { pageEvents, streamEvents } from '../stream-events.ts';
import { Wakeup } from '../wakeup.ts';
import { AppendChannel } from './append-channel.ts';
import { parseConnectionString } from './connection-string.ts';
import { Connection } from './connection.ts';
import { unavailable, unlessUnavailable } from './errors.ts';
import { LiveTail } from './live-tail.ts';
import { type LogPage, Reader } from './reader.ts';
import { SharedPages } from './shared-pages.ts';
import { completeCopy, ensureStoreRecord, type StoreRecord } from './store-record.ts';
import { subscription } from './subscription.ts';

export interface EventStoreDbOptions {
  /** See connection-string.ts. */
  readonly connectionString: string;
  /** If it does not stand in the connection string. */
  readonly password?: string | undefined;
  /** Our streams are "NAMESPACE.stream"; default "tallyback". Several may share a server. */
  readonly namespace?: string | undefined;
  /** CopyRefused if there is none, instead of beginning one. */
  readonly mustExist?: boolean;
  readonly log?: StoreLog;
  readonly edges?: Partial<Edges>;
  readonly tail?: {
    /** Most events held in memory for all subscribers together; default 16,384. */
    readonly events?: number;
    /** Most characters of data and metadata held; default 32 Mi. */
    readonly length?: number;
    /** Milliseconds of silence after which the log is asked whether it really does not grow; default 5,000. */
    readonly watchEvery?: number;
  };
}

/** No ".": one namespace must not lie within another. */
const namespaceForm = /^[A-Za-z0-9][A-Za-z0-9_]{0,99}$/;
/** A reader that is behind holds two pages: the one being handled and the one fetched ahead. */
const logPageLimits = { events: 2_000, bytes: 8 * 1024 * 1024 };
/** A replay of all read models moves along the log as a group, a few pages long. */
const sharedPages = 8;
const streamPageLimits = { events: 500, bytes: 8 * 1024 * 1024 };

/**
 * Opens the log of a namespace, beginning it if there is none. Throws EventStoreUnavailable if the server cannot be
 * reached, ConnectionStringError, and what reading a certificate file throws.
 */
export const openEventStoreDb = (options: EventStoreDbOptions): Promise<EventStore> => open(options);

/** Opens an empty log, or an unfinished copy, to be filled from another store. Throws CopyRefused otherwise. */
export async function openEventStoreDbCopy(
  options: EventStoreDbOptions,
  originStoreId: string,
): Promise<CopyTarget> {
  const store = await open(options, originStoreId);
  const { origin } = store;
  if (origin?.storeId === originStoreId && !origin.complete) return store;
  await store.close();
  throw new CopyRefused(
    origin
      ? `the log holds ${origin.complete ? 'a finished' : 'an unfinished'} copy of the store ${origin.storeId}`
      : 'the log has been used already',
  );
}

async function open(options: EventStoreDbOptions, originStoreId?: string): Promise<EventStoreDbStore> {
  const namespace = options.namespace ?? 'tallyback';
  if (!namespaceForm.test(namespace)) {
    throw new RangeError(`A namespace has letters, digits and "_", at most 100: not "${namespace}"`);
  }
  const edges = { ...systemEdges, ...options.edges };
  const settings = parseConnectionString(options.connectionString, options.password);
  const connection = new Connection(settings, edges);
  const appends = new AppendChannel(connection, edges, settings.defaultDeadline);
  const prefix = Buffer.from(`${namespace}.`);
  const reader = new Reader({ connection, edges, deadline: settings.defaultDeadline, prefix });
  try {
    const { mustExist } = options;
    const record = await ensureStoreRecord(
      { reader, appends, edges, namespace },
      { originStoreId, mustExist },
    );
    return new EventStoreDbStore({ record, namespace, prefix, connection, appends, reader, edges }, options);
  } catch (error) {
    appends.close();
    connection.close();
    throw error;
  }
}

interface Parts {
  readonly record: StoreRecord;
  readonly namespace: string;
  readonly prefix: Buffer;
  readonly connection: Connection;
  readonly appends: AppendChannel;
  readonly reader: Reader;
  readonly edges: Edges;
}

class EventStoreDbStore implements CopyTarget {
  readonly id: string;
  readonly origin: StoreRecord['origin'];
  readonly #parts: Parts;
  readonly #tail: LiveTail;
  readonly #pages: SharedPages;
  readonly #log: StoreLog;
  readonly #closed = new AbortController();
  #closing: Promise<void> | undefined;
  /** Where the last page ended that held none of ours. */
  #barren: Position | undefined;

  constructor(parts: Parts, options: EventStoreDbOptions) {
    // Every read in progress listens for the end; there may be many at once.
    setMaxListeners(0, this.#closed.signal);
    const { connection, reader, prefix, edges, record } = parts;
    this.id = record.id;
    this.origin = record.origin;
    this.#parts = parts;
    this.#log = options.log ?? silentLog;
    this.#pages = new SharedPages((after) => this.#page(after), sharedPages);
    this.#tail = new LiveTail({
      connection,
      reader,
      prefix,
      edges,
      log: this.#log,
      limits: { events: options.tail?.events ?? 16_384, length: options.tail?.length ?? 32 * 1024 * 1024 },
      watchEvery: options.tail?.watchEvery ?? 5_000,
    });
  }

  async append(stream: string, expectedRevision: number, events: readonly NewEvent[]): Promise<AppendResult> {
    const append = checkAppend(stream, expectedRevision, events);
    if (this.#closed.signal.aborted || this.#closing)
      throw new EventStoreUnavailable('The event store is closed');
    const answer = await this.#parts.appends.append(this.#nameOf(stream), append);
    if (answer.kind === 'conflict') return answer;
    const { revision, position } = answer;
    return { kind: 'appended', revision, position: position ?? (await this.#positionAt(stream, revision)) };
  }

  readStream(
    stream: string,
    options: { readonly from?: number; readonly signal?: AbortSignal } = {},
  ): AsyncIterable<RecordedEvent> {
    const name = this.#nameOf(stream);
    const page = (from: number, nth: number) => {
      const events = pageEvents(streamPageLimits.events, nth);
      return this.#parts.reader.streamPage(name, from, { ...streamPageLimits, events });
    };
    return streamEvents(page, Math.max(0, options.from ?? 0), options.signal ?? this.#closed.signal);
  }

  async *subscribe(options: SubscribeOptions): AsyncGenerator<LogBatch, void, undefined> {
    const wakeup = new Wakeup();
    const unfollow = this.#tail.follow(wakeup.ring);
    const { reader, edges } = this.#parts;
    try {
      yield* subscription(options, wakeup, {
        tail: this.#tail,
        page: (after) => this.#pages.after(after),
        end: () => reader.end(),
        edges,
        log: this.#log,
        closed: this.#closed.signal,
      });
    } finally {
      unfollow();
    }
  }

  /**
   * Ours, as long as there are any; then whatever there is, so that no event can be missed, whoever's events lie
   * between, and the end of the log is known to be reached.
   */
  async #page(after: Position): Promise<LogPage> {
    const { reader, record } = this.#parts;
    const from = comparePositions(after, record.position) < 0 ? record.position : after;
    // What lies behind a page without any of ours may be long; the server would look through it all before it answers.
    if (!this.#barren || comparePositions(from, this.#barren) !== 0) {
      const ours = await reader.logPage(from, logPageLimits, 'ours').catch(unlessUnavailable);
      if (ours && ours.events.length > 0) return ours;
    }
    const all = await reader.logPage(from, logPageLimits, 'all');
    if (all.events.length === 0) this.#barren = all.through;
    return all;
  }

  head(): Promise<Position> {
    return this.#parts.reader.head();
  }

  completeCopy(): Promise<void> {
    return completeCopy(this.#parts);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#parts.appends.settled();
    this.#closed.abort();
    await this.#tail.close();
    this.#parts.appends.close();
    this.#parts.connection.close();
  }

  #nameOf(stream: string): string {
    return `${this.#parts.namespace}.${stream}`;
  }

  /** For an append that the server remembers but whose place it does not tell. */
  async #positionAt(stream: string, revision: number): Promise<Position> {
    try {
      for await (const event of this.readStream(stream, { from: revision })) return event.position;
    } catch (error) {
      throw unavailable(error);
    }
    throw new EventStoreUnavailable(`EventStoreDB: ${stream} does not show revision ${revision} yet`);
  }
}
