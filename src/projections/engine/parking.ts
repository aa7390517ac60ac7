/**
 * What cannot be folded is parked: the row (or, where an event cannot even be read, its stream), and then every later
 * event for it, in order, while everything else flows. Parked events are stored in the same transaction as the
 * rows and the checkpoint, so none is passed over in silence. Operators see them, have them tried again, or drop them.
 */
import { comparePositions, type Position, type RecordedEvent } from '../../eventstore/port.ts';
import { errorText, stackOf } from './errors.ts';
import { type ParkedEvent, parkedRow, parkedStream } from './storage.ts';

type Where = Pick<RecordedEvent, 'stream' | 'revision' | 'type' | 'position'>;

export class Parking {
  readonly #scopes: Set<string>;
  readonly parkAt: Position | undefined;
  #events: ParkedEvent[] = [];

  /** `parkAt`: of the event whose failures are parked; all others are thrown first. */
  constructor(scopes: ReadonlySet<string>, parkAt?: Position) {
    this.#scopes = new Set(scopes);
    this.parkAt = parkAt;
  }

  /** Where events are parked. */
  get scopes(): ReadonlySet<string> {
    return this.#scopes;
  }

  /** Later events for the scopes of these, which were parked elsewhere, are held here too. */
  note(events: Iterable<ParkedEvent>): void {
    for (const { scope } of events) this.#scopes.add(scope);
  }

  /** Whether failures of this event are to be parked. */
  accepts(event: Where): boolean {
    return this.parkAt !== undefined && comparePositions(event.position, this.parkAt) === 0;
  }

  /** If the row is parked, so is the event, for it. */
  holdsRow(keyText: string, event: Where): boolean {
    return this.#scopes.size > 0 && this.#hold(parkedRow(keyText), event);
  }

  holdsStream(event: Where): boolean {
    return this.#scopes.size > 0 && this.#hold(parkedStream(event.stream), event);
  }

  parkRow(keyText: string, event: Where, cause: unknown): void {
    this.#park(parkedRow(keyText), event, cause);
  }

  parkStream(event: Where, cause: unknown): void {
    this.#park(parkedStream(event.stream), event, cause);
  }

  /** What is to be stored, once: events up to a position (what was sifted after one that failed is done again). */
  take(through: Position): readonly ParkedEvent[] {
    if (this.#events.length === 0) return this.#events;
    const events = this.#events.filter(({ position }) => comparePositions(position, through) <= 0);
    this.#events = [];
    return events;
  }

  #hold(scope: string, event: Where): boolean {
    if (!this.#scopes.has(scope)) return false;
    this.#add(scope, event, undefined);
    return true;
  }

  #park(scope: string, event: Where, cause: unknown): void {
    this.#scopes.add(scope);
    this.#add(scope, event, cause);
  }

  #add(scope: string, { stream, revision, type, position }: Where, cause: unknown): void {
    const error = cause === undefined ? undefined : errorText(cause);
    this.#events.push({ scope, stream, revision, type, position, error, stack: stackOf(cause) });
  }
}
