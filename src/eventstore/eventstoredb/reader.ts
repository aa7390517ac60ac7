/**
 * Reads in pages: each a call of its own that ends, or is cancelled, before the page is given out. So nothing is
 * held on the server while a page is handled, a slow reader costs nothing, and a server that falls silent is noticed.
 */
import type { ClientReadableStream } from '@grpc/grpc-js';
import type {
  ReadReq_Options,
  ReadReq_Options_AllOptions,
  ReadReq_Options_StreamOptions,
  ReadResp,
  ReadResp_ReadEvent_RecordedEvent,
} from '../../gen/event_store/client/streams.ts';
import type { Edges } from '../edges.ts';
import {
  comparePositions,
  EventStoreUnavailable,
  logStart,
  type Position,
  type RecordedEvent,
} from '../port.ts';
import type { StreamPage } from '../stream-events.ts';
import type { Connection } from './connection.ts';
import { exceptionOf, isNotLeader, StreamTombstoned, unavailable } from './errors.ts';
import { decodeEvent, isOurs, namespaceFilter, positionOf } from './events.ts';

export interface ReaderOptions {
  readonly connection: Connection;
  readonly edges: Edges;
  /** Milliseconds a server may be silent. */
  readonly deadline: number;
  /** What our streams' names begin with. */
  readonly prefix: Buffer;
}

/** Most events of a page, and the bytes of data after which it ends early. */
export interface PageLimits {
  readonly events: number;
  readonly bytes: number;
}

/** Part of the log. */
export interface LogPage {
  /** Ours among what was read. */
  readonly events: readonly RecordedEvent[];
  /** Everything up to here has been read. */
  readonly through: Position;
  /** There was nothing behind it. */
  readonly atEnd: boolean;
  /** It was cut short by its limits. */
  readonly full: boolean;
}

interface ReadHow {
  readonly backwards: boolean;
  readonly fromLeader: boolean;
  /** The server leaves out what is not in the namespace. */
  readonly onlyOurs: boolean;
}

interface Raw {
  readonly events: readonly ReadResp_ReadEvent_RecordedEvent[];
  /** It stopped at its limits: there may be more. */
  readonly full: boolean;
}

/** Events that the server looks at, at most, for one of ours before it reads on. */
const searchWindow = 500;
/** For our last event among those of others. */
const lookedThrough = { events: 64, bytes: 1024 * 1024 };

export class Reader {
  readonly #options: ReaderOptions;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /**
   * The log after a position, as the leader has it; or only ours of it, as any node has it: then nothing is known of
   * what lies behind the last one.
   */
  async logPage(after: Position, limits: PageLimits, which: 'all' | 'ours'): Promise<LogPage> {
    const allOption: ReadReq_Options_AllOptions['allOption'] =
      comparePositions(after, logStart) > 0
        ? { $case: 'position', value: { commitPosition: after.commit, preparePosition: after.prepare } }
        : { $case: 'start', value: {} };
    // The server begins with the event at the position itself.
    const { events: raw, full } = await this.#read(
      { $case: 'all', value: { allOption } },
      { ...limits, events: limits.events + 1 },
      { backwards: false, fromLeader: which === 'all', onlyOurs: which === 'ours' },
    );
    const events: RecordedEvent[] = [];
    let through = after;
    for (const one of raw) {
      const position = positionOf(one);
      if (comparePositions(position, through) <= 0) continue;
      through = position;
      const event = decodeEvent(one, this.#options.prefix);
      if (event) events.push(event);
    }
    return { events, through, atEnd: !full && which === 'all', full };
  }

  /** A stream (by the server's name for it) from a revision on, as the leader has it. An unknown one is empty. */
  async streamPage(
    name: string,
    from: number,
    limits: PageLimits,
    prefix = this.#options.prefix,
  ): Promise<StreamPage> {
    const streamOption: ReadReq_Options_StreamOptions = {
      streamIdentifier: { streamName: Buffer.from(name) },
      revisionOption: { $case: 'revision', value: BigInt(from) },
    };
    const { events, full } = await this.#read({ $case: 'stream', value: streamOption }, limits, {
      backwards: false,
      fromLeader: true,
      onlyOurs: false,
    });
    return { events: events.flatMap((event) => decodeEvent(event, prefix) ?? []), full };
  }

  /** Position of the last event of all, whoever wrote it; `logStart` if there is none. */
  async end(): Promise<Position> {
    const [last] = await this.#last({ events: 1, bytes: Infinity });
    return last ? positionOf(last) : logStart;
  }

  /**
   * Position of our last event, if it is among the last events of all (servers write a few of their own, and what
   * waits for the head should not wait for those); else of the last of all.
   */
  async head(): Promise<Position> {
    const ours = (event: ReadResp_ReadEvent_RecordedEvent): boolean => isOurs(event, this.#options.prefix);
    const [last] = await this.#last({ events: 1, bytes: Infinity });
    if (!last) return logStart;
    if (ours(last)) return positionOf(last);
    const found = (await this.#last(lookedThrough)).find(ours);
    if (found) return positionOf(found);
    return positionOf(last);
  }

  /** Backwards. */
  async #last(limits: PageLimits): Promise<Raw['events']> {
    const { events } = await this.#read(
      { $case: 'all', value: { allOption: { $case: 'end', value: {} } } },
      limits,
      { backwards: true, fromLeader: true, onlyOurs: false },
    );
    return events;
  }

  /** What is the leader's to answer, and was asked of another node, is asked of the one that this node named. */
  async #read(
    streamOption: NonNullable<ReadReq_Options['streamOption']>,
    limits: PageLimits,
    how: ReadHow,
  ): Promise<Raw> {
    try {
      return await this.#readOnce(streamOption, limits, how);
    } catch (error) {
      if (!(error instanceof EventStoreUnavailable) || !isNotLeader(error.cause)) throw error;
      return this.#readOnce(streamOption, limits, how);
    }
  }

  async #readOnce(
    streamOption: NonNullable<ReadReq_Options['streamOption']>,
    limits: PageLimits,
    how: ReadHow,
  ): Promise<Raw> {
    const { connection, edges, deadline } = this.#options;
    const request: ReadReq_Options = {
      streamOption,
      readDirection: how.backwards ? 1 : 0,
      resolveLinks: false,
      countOption: { $case: 'count', value: BigInt(limits.events) },
      filterOption: how.onlyOurs
        ? { $case: 'filter', value: namespaceFilter(this.#options.prefix, searchWindow) }
        : { $case: 'noFilter', value: {} },
      uuidOption: { content: { $case: 'string', value: {} } },
    };
    const { call, failed, gaveUp } = await connection.open((streams, metadata, options) => {
      const reading = streams.read({ options: request }, metadata, options);
      // From the very start: an error that nobody listens for ends the process.
      reading.on('error', () => undefined);
      return reading;
    }, how.fromLeader);
    try {
      const raw = await collect(call, limits, (ring) => edges.alarm(deadline, ring));
      connection.answered();
      return raw;
    } catch (error) {
      if (error instanceof Error && exceptionOf(error) === 'stream-deleted') {
        throw new StreamTombstoned(`the stream has been deleted for good: ${error.message}`, {
          cause: error,
        });
      }
      if (error instanceof Error && !(error instanceof EventStoreUnavailable)) {
        const turned = new AbortController();
        void failed(error).then(() => turned.abort());
        // The next call then goes to the leader. It may take as long as finding a node does, but no longer than this.
        if (isNotLeader(error)) await edges.pause(deadline, turned.signal);
      }
      gaveUp();
      throw unavailable(error);
    } finally {
      // Nothing happens if it has ended; else the server must not go on.
      call.cancel();
    }
  }
}

function collect(
  call: ClientReadableStream<ReadResp>,
  limits: PageLimits,
  setAlarm: (ring: () => void) => ReturnType<Edges['alarm']>,
): Promise<Raw> {
  return new Promise((resolve, reject) => {
    const events: ReadResp_ReadEvent_RecordedEvent[] = [];
    let bytes = 0;
    const silence = setAlarm(() => reject(new EventStoreUnavailable('EventStoreDB: no answer to a read')));
    const end = (full: boolean): void => {
      silence.stop();
      resolve({ events, full });
    };
    call.on('data', ({ content }: ReadResp) => {
      silence.putOff();
      if (content?.$case !== 'event') return;
      const { event } = content.value;
      if (!event || bytes >= limits.bytes) return;
      events.push(event);
      bytes += event.data.length + event.customMetadata.length;
      if (bytes >= limits.bytes) end(true);
    });
    call.on('end', () => end(events.length >= limits.events));
    call.on('error', (error: Error) => {
      silence.stop();
      reject(error);
    });
  });
}
