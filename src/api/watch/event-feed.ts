/** The event feed: the log as something to watch. */
import { status } from '@grpc/grpc-js';
import { shortTypeName, storedTypeName } from '../../domain/codec.ts';
import { eventCodecs, type EventType } from '../../domain/events.ts';
import {
  comparePositions,
  type EventStore,
  EventStoreUnavailable,
  type LogBatch,
  logStart,
  type Position,
  type RecordedEvent,
} from '../../eventstore/port.ts';
import {
  EventFeedServiceService as methods,
  RecordedEvent as EventMessage,
  WatchEventsRequest,
} from '../../gen/tallyback/feed/v1/event_feed_service.ts';
import type { ApiContext } from '../context.ts';
import { ApiError, invalidArgument } from '../errors.ts';
import { WatchCounts } from './counts.ts';
import * as messages from './messages.ts';
import type { Places } from './places.ts';
import { resumeTokens, scopeOf } from './resume-token.ts';
import { readSettings } from './settings.ts';
import { Stamps } from './stamps.ts';
import { type WatchMethod, watchMethod } from './watch-method.ts';
import type { Changes, SubscribeOptions, Subscription, Watched } from './watched.ts';

const feed = 'events';
/** Of the log there is one making. */
const incarnation = '';
/** Bytes of the events in one message, unless it is one event. */
const messageBytes = 256 * 1024;
/** Events taken from the log at a time: what a client that does not read holds on to. */
const batchEvents = 256;
/** Room in a message for all but an event's data. */
const envelopeBytes = 32 * 1024;

export function eventWatch(context: ApiContext, places: Places): WatchMethod {
  const { head, subscribe, tokens, limits } = context;
  const feedTokens = resumeTokens(context.seal, feed);
  const counts = new WatchCounts();
  const stamps = new Stamps({ ...context, resumeTokens: feedTokens });
  const most = limits.maxSendBytes - envelopeBytes;
  /** As long as the log has them in memory: however many watch, an event is encoded once. */
  const known = new WeakMap<RecordedEvent, Uint8Array>();
  const encode = (event: RecordedEvent): Uint8Array => {
    let bytes = known.get(event);
    if (!bytes) known.set(event, (bytes = EventMessage.encode(messageOf(event)).finish()));
    return bytes;
  };
  const messageOf = (event: RecordedEvent): EventMessage => {
    const { id, stream, revision, type, data, recordedAt, position } = event;
    const bytes = Buffer.byteLength(data);
    const omitted = bytes > most;
    return {
      id,
      stream,
      revision: BigInt(revision),
      type: shortTypeName(type),
      dataJson: omitted ? '' : data,
      recordedAt,
      positionToken: tokens.encode(position),
      omittedBytes: omitted ? BigInt(bytes) : 0n,
    };
  };

  const view = { head, subscribe, encode };

  const parts = { ...context, counts, stamps, places };

  return watchMethod(context.rpc, methods.watchEvents, parts, async (request) => {
    const { fromBeginning } = request;
    const types = [...new Set(request.types.map(knownType))].toSorted();
    const named = { types, fromBeginning: false, options: undefined };
    const scope = scopeOf(feed, WatchEventsRequest.encode(named).finish());
    const asked = await readSettings(context, request.options, feedTokens, scope);
    const watched = watchedLog({ ...view, types: new Set(types.map(storedTypeName)), fromBeginning });
    return { watched, scope, settings: { ...asked, conflationMs: 0 } };
  });
}

const isEventType = (name: string): name is EventType => Object.hasOwn(eventCodecs, name);

function knownType(name: string, index: number): EventType {
  if (isEventType(name)) return name;
  // A filter that never matches would look like a quiet log.
  throw invalidArgument('EVENT_TYPE_UNKNOWN', 'there is no event type of that name', `types[${index}]`);
}

interface LogView {
  readonly head: () => Promise<Position>;
  readonly subscribe: EventStore['subscribe'];
  readonly encode: (event: RecordedEvent) => Uint8Array;
  /** As they are stored; empty: all. */
  readonly types: ReadonlySet<string>;
  readonly fromBeginning: boolean;
}

function watchedLog(view: LogView): Watched {
  const { head, fromBeginning } = view;
  return {
    async begin({ resumeFrom }) {
      if (!resumeFrom) return { position: fromBeginning ? logStart : await head(), incarnation };
      // A log that was put back to a backup gives these positions to other events.
      if (comparePositions(await head(), resumeFrom.position) < 0)
        throw new ApiError(status.OUT_OF_RANGE, 'POSITION_UNKNOWN', 'the log does not reach that token');
      return resumeFrom;
    },
    snapshot: () => Promise.reject(new Error('the log begins without a snapshot')),
    subscribe: (options) => new LogSubscription(view, options),
  };
}

/** What is left of a batch. */
interface Rest {
  readonly events: readonly RecordedEvent[];
  readonly through: Position;
  readonly caughtUp: boolean;
}

/** One client's place in the log. What is there is fetched when what came before has been sent, and not sooner. */
class LogSubscription implements Subscription {
  /** The log is what it is: nothing can be behind it. */
  readonly behindFor = undefined;
  readonly #encode: LogView['encode'];
  readonly #types: ReadonlySet<string>;
  readonly #wake: () => void;
  readonly #stop = new AbortController();
  readonly #batches: AsyncIterator<LogBatch>;
  #next: Promise<IteratorResult<LogBatch>> | undefined;
  #hasArrived = false;
  #rest: Rest | undefined;
  #through: Position;
  #caughtUp = false;

  constructor({ subscribe, encode, types }: LogView, { from, wake }: SubscribeOptions) {
    this.#encode = encode;
    this.#types = types;
    this.#wake = wake;
    this.#through = from.position;
    const { signal } = this.#stop;
    const batches = subscribe({ after: from.position, signal, maxBatch: batchEvents });
    this.#batches = batches[Symbol.asyncIterator]();
  }

  async take(): Promise<Changes> {
    this.#rest ??= await this.#arrived();
    if (!this.#rest) {
      const through = this.#through;
      return this.#caughtUp ? { events: [], through } : { events: [], through, more: 'soon' };
    }
    const { events, through, caughtUp } = this.#rest;
    const fitting = this.#fitting(events);
    const left = events.slice(fitting.length);
    this.#rest = left.length > 0 ? { ...this.#rest, events: left } : undefined;
    this.#through = left.length > 0 ? (events[fitting.length - 1]?.position ?? this.#through) : through;
    this.#caughtUp = caughtUp && left.length === 0;
    // What is not there yet is waited for: one batch at most comes of that while the client does not read.
    if (this.#caughtUp) this.#fetch();
    return {
      events: fitting.length > 0 ? [messages.changes(fitting)] : [],
      through: this.#through,
      ...(this.#caughtUp ? {} : { more: 'now' }),
    };
  }

  /** The store itself looks for what nobody reported. */
  poke(): void {}

  end(): void {
    this.#stop.abort();
    // Ends what is being waited for, and gives back what the log keeps for it.
    this.#batches.return?.().catch(() => undefined);
  }

  /** What is wanted of the next batch, if it is there; it is asked for, if it was not. */
  async #arrived(): Promise<Rest | undefined> {
    if (!this.#next) this.#fetch();
    if (!this.#next || !this.#hasArrived) return undefined;
    const arrived = await this.#next;
    this.#next = undefined;
    if (arrived.done) throw new EventStoreUnavailable('The log cannot be followed any more');
    const { events, through, caughtUp } = arrived.value;
    const wanted = this.#types.size === 0 ? events : events.filter(({ type }) => this.#types.has(type));
    return { events: wanted, through, caughtUp };
  }

  #fetch(): void {
    this.#hasArrived = false;
    const arrived = (): void => {
      this.#hasArrived = true;
      this.#wake();
    };
    this.#next = this.#batches.next();
    this.#next.then(arrived, arrived);
  }

  /** The first, encoded, that go into one message. */
  #fitting(events: readonly RecordedEvent[]): Uint8Array[] {
    const fitting: Uint8Array[] = [];
    let bytes = 0;
    for (const event of events) {
      const encoded = this.#encode(event);
      bytes += encoded.length;
      if (fitting.length > 0 && bytes > messageBytes) break;
      fitting.push(encoded);
    }
    return fitting;
  }
}
