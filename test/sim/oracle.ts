/**
 * What the tables must hold: a fold of the log that knows nothing of batches, caches, leases or databases. It runs
 * along with every generation and is compared with the table at every commit.
 */
import { decodeEvent, eventTypeOf } from '../../src/domain/codec.ts';
import { comparePositions, formatPosition, logStart, type Position } from '../../src/eventstore/port.ts';
import type { AnyRow, LoggedEvent, ReadModel } from '../../src/projections/engine/read-model.ts';
import { keyText } from '../../src/projections/engine/row-key.ts';
import { type ParkedEvent, parkedRow, parkedStream } from '../../src/projections/engine/storage.ts';
import type { DatabaseRow } from './database.ts';
import type { Log } from './log.ts';

interface Expected {
  readonly row: AnyRow;
  readonly position: Position;
}

/** The fold of one generation, up to its checkpoint. */
export class Oracle {
  readonly #model: ReadModel;
  readonly #log: Log;
  readonly #rows = new Map<string, Expected>();
  /** "scope at position" of what is parked. */
  readonly #parked: string[] = [];
  readonly #scopes = new Set<string>();
  #next = 0;
  #position = logStart;

  constructor(model: ReadModel, log: Log) {
    this.#model = model;
    this.#log = log;
  }

  get position(): Position {
    return this.#position;
  }

  get rows(): number {
    return this.#rows.size;
  }

  /** Position of the event before which it stands still for good, if there is one up to the end of the log. */
  static stopsAt(model: ReadModel, log: Log): Position | undefined {
    const oracle = new Oracle(model, log);
    try {
      oracle.advance(log.end);
      return undefined;
    } catch (error) {
      if (error instanceof Impassable) return error.position;
      throw error;
    }
  }

  /** Takes in everything up to a position; answers the keys of rows that were changed. */
  advance(to: Position): Set<string> {
    const changed = new Set<string>();
    for (;;) {
      const recorded = this.#log.events[this.#next];
      if (!recorded || comparePositions(recorded.position, to) > 0) break;
      this.#next++;
      const type = eventTypeOf(recorded.type);
      if (type === undefined || !this.#model.handles.includes(type)) continue;
      const { stream, revision, position } = recorded;
      this.#take({ event: decodeEvent(recorded), stream, revision, position }, changed);
    }
    this.#position = to;
    return changed;
  }

  #take(logged: LoggedEvent, changed: Set<string>): void {
    const { position, stream } = logged;
    if (this.#scopes.has(parkedStream(stream))) return this.#park(parkedStream(stream), logged);
    const keys = attempt(() => this.#model.keys(logged));
    if (!keys) return this.#park(parkedStream(stream), logged);
    // Every key sees the rows as they were before the event.
    for (const key of keys) {
      const text = keyText(key);
      if (this.#scopes.has(parkedRow(text))) this.#park(parkedRow(text), logged);
      else {
        const before = this.#rows.get(text)?.row;
        const after = attempt(() => ({ row: this.#model.fold(before, logged, key) }));
        if (!after) this.#park(parkedRow(text), logged);
        else if (after.row !== before) {
          changed.add(text);
          if (after.row) this.#rows.set(text, { row: after.row, position });
          else this.#rows.delete(text);
        }
      }
    }
  }

  #park(scope: string, { position }: LoggedEvent): void {
    if (this.#model.onFailure === 'stop') throw new Impassable(this.#model.name, position);
    this.#scopes.add(scope);
    this.#parked.push(parkedText({ scope, position }));
  }

  /** How table and parked events differ from what they must be: of these rows, or of all. */
  differences(
    table: ReadonlyMap<string, DatabaseRow>,
    parked: readonly ParkedEvent[],
    keys: Iterable<string> = new Set([...table.keys(), ...this.#rows.keys()]),
  ): string[] {
    const found: string[] = [];
    for (const text of keys) {
      const [expected, stored] = [rowText(this.#rows.get(text)), rowText(table.get(text))];
      if (expected !== stored) found.push(`row ${text}: ${stored} stored, must be ${expected}`);
    }
    const [expected, stored] = [this.#parked, parked.map(parkedText)].map((all) => all.toSorted().join(', '));
    if (expected !== stored) found.push(`parked: ${stored}; must be ${expected}`);
    return found;
  }
}

/** A checkpoint has passed an event that its read model must stop before. */
export class Impassable extends Error {
  override readonly name = 'Impassable';
  readonly position: Position;

  constructor(model: string, position: Position) {
    super(`${model} has passed ${formatPosition(position)}, which cannot be folded`);
    this.position = position;
  }
}

const parkedText = ({ scope, position }: Pick<ParkedEvent, 'scope' | 'position'>): string =>
  `${scope} at ${formatPosition(position)}`;

/** For messages, and to be compared: columns sorted by name, as two folds may make them in another order. */
function rowText(stored: Expected | undefined): string | undefined {
  if (!stored) return undefined;
  const columns = Object.entries(stored.row).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const values = columns.map(([name, value]) => `${name}=${value instanceof Date ? value.getTime() : value}`);
  return `(${values.join(' ')} @${formatPosition(stored.position)})`;
}

function attempt<R>(happen: () => R): R | undefined {
  try {
    return happen();
  } catch {
    return undefined;
  }
}
