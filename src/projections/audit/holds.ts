/** What operators and Parking keep out of rows: an audit must not take it for an error. */
import { parkedRow, parkedStream } from '../engine/storage.ts';

/** Of one generation, read in the same moment as its rows. */
export interface HeldBack {
  /** Scopes in which events are parked, and the commit position of the first. */
  readonly parked: ReadonlyMap<string, bigint>;
  /** Scopes whose parked events an operator has dropped: the log does not say any more what is right. */
  readonly dropped: ReadonlySet<string>;
}

export class Holds {
  readonly #parked: ReadonlyMap<string, bigint>;
  readonly #dropped: ReadonlySet<string>;

  constructor({ parked, dropped }: HeldBack) {
    this.#parked = parked;
    this.#dropped = dropped;
  }

  /** Whether every row is made by every event for it. */
  get none(): boolean {
    return this.#parked.size === 0 && this.#dropped.size === 0;
  }

  /** Whether the row does without this event. */
  holdsRow(keyText: string, commit: bigint): boolean {
    return this.#parked.size > 0 && this.#holds(parkedRow(keyText), commit);
  }

  /** Whether every row does without this event of the stream. */
  holdsStream(stream: string, commit: bigint): boolean {
    return this.#parked.size > 0 && this.#holds(parkedStream(stream), commit);
  }

  droppedRow(keyText: string): boolean {
    return this.#dropped.size > 0 && this.#dropped.has(parkedRow(keyText));
  }

  droppedStream(stream: string): boolean {
    return this.#dropped.size > 0 && this.#dropped.has(parkedStream(stream));
  }

  #holds(scope: string, commit: bigint): boolean {
    const first = this.#parked.get(scope);
    return first !== undefined && commit >= first;
  }
}
