/**
 * A stream held in memory: the aggregate folded up to a revision, and what became of every request that wrote
 * to it. Both come from the events alone, so a reload gives the same.
 */
import type { Refusal } from '../domain/aggregate.ts';
import { decodeEvent } from '../domain/codec.ts';
import type { DomainEvent } from '../domain/events.ts';
import {
  type EventStore,
  logStart,
  noStream,
  type Position,
  type RecordedEvent,
} from '../eventstore/port.ts';
import { type Decider, newDecider } from './aggregates.ts';
import type { AggregateCommand } from './commands.ts';
import { readMetadata } from './metadata.ts';

/** What became of a request. */
export interface StoredOutcome {
  readonly contentHash: string | undefined;
  readonly refusal: Refusal | undefined;
  readonly revision: number;
  readonly position: Position;
}

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

export class LoadedStream {
  readonly decider: Decider;
  readonly requests = new Map<string, StoredOutcome>();
  revision = noStream;
  position: Position = logStart;
  #size = 1_000;

  constructor(kind: AggregateCommand['aggregate']) {
    this.decider = newDecider(kind);
  }

  static async load(
    store: EventStore,
    kind: AggregateCommand['aggregate'],
    stream: string,
  ): Promise<LoadedStream> {
    const loaded = new LoadedStream(kind);
    for await (const recorded of store.readStream(stream)) {
      const event = decodeEvent(recorded);
      loaded.decider.evolve(event);
      loaded.remember(recorded, event);
    }
    return loaded;
  }

  /** Takes note of a stored event that the decider has evolved over. */
  remember(recorded: RecordedEvent, event: DomainEvent): void {
    const metadata = readMetadata(recorded.metadata);
    if (metadata) this.rememberRequest(metadata.requestId, metadata.contentHash, recorded, event);
    else this.#take(recorded);
  }

  /** As `remember`, for an event this process has just stored and whose request it knows. */
  rememberRequest(
    requestId: string,
    contentHash: string | undefined,
    recorded: Pick<RecordedEvent, 'revision' | 'position' | 'data'>,
    event: DomainEvent,
  ): void {
    this.#take(recorded);
    const { revision, position } = recorded;
    this.requests.set(requestId, { contentHash, refusal: refusalIn(event), revision, position });
  }

  #take({ revision, position, data }: Pick<RecordedEvent, 'revision' | 'position' | 'data'>): void {
    this.revision = revision;
    this.position = position;
    this.#size += requestSize + data.length;
  }

  /** About how many bytes it keeps in memory. */
  get size(): number {
    return this.#size;
  }
}
