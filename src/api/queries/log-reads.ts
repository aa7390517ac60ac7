/**
 * Reading streams of the log for queries. A stream can be long: it is read in pages, other calls get their turn in
 * between, it ends when the client has gone, and only so many are read at once, each of which holds two pages.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { decodeEvent, storedTypeName } from '../../domain/codec.ts';
import type { DomainEvent, EventType } from '../../domain/events.ts';
import {
  comparePositions,
  type EventStore,
  type Position,
  type RecordedEvent,
} from '../../eventstore/port.ts';
import { Semaphore } from '../watch/semaphore.ts';

/** Streams read at the same time; more wait for their turn. */
const mostAtOnce = 8;
/** Events handled before others get their turn: a few milliseconds' work. */
const turn = 100;

export interface LogRead<T extends EventType> {
  readonly stream: string;
  /** The last position that counts. */
  readonly through: Position;
  readonly types: readonly T[];
  /** Least revision; default 0. */
  readonly from?: number;
  /** Asked before an event is decoded. Default: all of these types. */
  readonly concerns?: (recorded: RecordedEvent) => boolean;
  readonly signal: AbortSignal;
}

export interface ReadEvent<T extends EventType> {
  readonly recorded: RecordedEvent;
  readonly event: DomainEvent<T>;
}

export class LogReads {
  readonly #streams: Pick<EventStore, 'readStream'>;
  readonly #places = new Semaphore(mostAtOnce);

  constructor(streams: Pick<EventStore, 'readStream'>) {
    this.#streams = streams;
  }

  /** Hands over the stream's events of those types in order, until `take` returns false or there are no more. */
  async each<T extends EventType>(
    { stream, through, types, from = 0, concerns = () => true, signal }: LogRead<T>,
    take: (read: ReadEvent<T>) => boolean | undefined,
  ): Promise<void> {
    const stored = new Set(types.map(storedTypeName));
    const leave = await this.#places.enter(signal);
    try {
      let handled = 0;
      for await (const recorded of this.#streams.readStream(stream, { from, signal })) {
        signal.throwIfAborted();
        if (comparePositions(recorded.position, through) > 0) return;
        if (++handled % turn === 0) await nextTurn();
        if (!stored.has(recorded.type) || !concerns(recorded)) continue;
        // It is of one of these types: its stored name says so.
        if (take({ recorded, event: decodeEvent(recorded) as DomainEvent<T> }) === false) return;
      }
    } finally {
      leave();
    }
  }
}
