/**
 * A stream held in memory: the aggregate folded up to a revision, and what became of every request that wrote
 * to it. Both come from the events alone, so a reload gives the same.
 */
import type { Refusal } from '../domain/aggregate.ts';
import { decodeEvent } from '../domain/codec.ts';
import type { DomainEvent } from '../domain/events.ts';
import { logStart, noStream, type Position, type RecordedEvent } from '../eventstore/port.ts';
import { type Decider, newDecider } from './aggregates.ts';
import type { AggregateCommand } from './commands.ts';
import { readMetadata } from './metadata.ts';
import { RememberedRequests, type RequestMemory } from './remembered-requests.ts';

const refusalClasses: readonly Refusal['class'][] = [
  'not-found',
  'already-exists',
  'precondition',
  'invalid',
];

function refusalIn(event: DomainEvent): Refusal | undefined {
  if (event.type !== 'CommandRefused') return undefined;
  const { reason, message, refusalClass } = event.data;
  return { reason, message, class: refusalClasses.find((c) => c === refusalClass) ?? 'precondition' };
}

/** About what a remembered request takes, in bytes; the state takes about what the events' JSON does. */
const requestSize = 250;

/** What of a stream cannot be known without its events; all of it plain data. */
export interface StreamMemory {
  readonly state: unknown;
  readonly requests: RequestMemory;
  readonly size: number;
}

/** What of a stored event is noted beside what it does to the state. */
type Stored = Pick<RecordedEvent, 'id' | 'revision' | 'position' | 'data'>;

export class LoadedStream {
  readonly kind: AggregateCommand['aggregate'];
  readonly decider: Decider;
  readonly requests: RememberedRequests;
  revision = noStream;
  position: Position = logStart;
  /** Of the event at `revision`. */
  eventId = '';
  /** Up to where there is a snapshot, or one was tried to be made. */
  snapshotRevision = noStream;
  #size: number;

  constructor(kind: AggregateCommand['aggregate'], memory?: StreamMemory) {
    this.kind = kind;
    this.decider = newDecider(kind, memory?.state);
    this.requests = new RememberedRequests(memory?.requests);
    this.#size = memory?.size ?? 1_000;
  }

  /** The stream as a snapshot that was made right after this event holds it; `memory` is its own from now on. */
  static restored(
    kind: AggregateCommand['aggregate'],
    memory: StreamMemory,
    { revision, position, id }: RecordedEvent,
  ): LoadedStream {
    const loaded = new LoadedStream(kind, memory);
    loaded.revision = revision;
    loaded.position = position;
    loaded.eventId = id;
    loaded.snapshotRevision = revision;
    return loaded;
  }

  /** What a snapshot keeps. To be copied before anything else is done with the stream. */
  get memory(): StreamMemory {
    return { state: this.decider.state, requests: this.requests.memory, size: this.#size };
  }

  /** Takes in the stream's next event, as the store has it. */
  read(recorded: RecordedEvent): void {
    const event = decodeEvent(recorded);
    this.decider.evolve(event);
    const metadata = readMetadata(recorded.metadata);
    if (metadata) this.rememberRequest(metadata.requestId, metadata.contentHash, recorded, event);
    else this.#take(recorded);
  }

  /** Takes note of an event that this process has just stored, and that the decider has evolved over. */
  rememberRequest(
    requestId: string,
    contentHash: string | undefined,
    stored: Stored,
    event: DomainEvent,
  ): void {
    this.#take(stored);
    const { revision, position } = stored;
    this.requests.set(requestId, { contentHash, refusal: refusalIn(event), revision, position });
  }

  #take({ id, revision, position, data }: Stored): void {
    this.eventId = id;
    this.revision = revision;
    this.position = position;
    this.#size += requestSize + data.length;
  }

  /** About how many bytes it keeps in memory. */
  get size(): number {
    return this.#size;
  }
}
