/**
 * Rows as the log alone makes them: one event after the other, without batches, caches, checkpoints and whatever else
 * the engine needs to be fast and could get wrong.
 */
import { decodeEvent, storedTypeName } from '../../domain/codec.ts';
import type { RecordedEvent } from '../../eventstore/port.ts';
import { errorText } from '../engine/errors.ts';
import type { AnyRow, Key, LoggedEvent, ReadModel } from '../engine/read-model.ts';
import { keyText } from '../engine/row-key.ts';
import type { Holds } from './holds.ts';

/** A row with the commit position of the event that changed it last. */
export interface PositionedRow {
  readonly key: Key;
  readonly row: AnyRow;
  readonly position: bigint;
}

export class Refold {
  readonly rows = new Map<string, PositionedRow>();
  /** Rows of which the log does not tell what is right. */
  readonly excepted = new Set<string>();
  /** Keys (or, where an event cannot be read, streams) that cannot be folded, and why. */
  readonly failures = new Map<string, string>();
  readonly #model: ReadModel;
  readonly #holds: Holds;
  readonly #wanted: (keyText: string) => boolean;
  readonly #handled: ReadonlySet<string>;

  /** Of the rows that are wanted. */
  constructor(model: ReadModel, holds: Holds, wanted: (keyText: string) => boolean) {
    this.#model = model;
    this.#holds = holds;
    this.#wanted = wanted;
    this.#handled = new Set(model.handles.map(storedTypeName));
  }

  /** The next event of the log, or of the one stream that makes the rows. */
  take(stored: RecordedEvent): void {
    const { stream, revision, position } = stored;
    if (!this.#handled.has(stored.type) || this.#holds.holdsStream(stream, position.commit)) return;
    try {
      const logged: LoggedEvent = { event: decodeEvent(stored), stream, revision, position };
      for (const key of this.#model.keys(logged)) this.#fold(key, logged);
    } catch (error) {
      if (!this.#holds.droppedStream(stream)) this.failures.set(stream, errorText(error));
    }
  }

  /** Whether a row of this key may be anything. */
  excepts(text: string): boolean {
    return this.excepted.has(text) || this.#holds.droppedRow(text);
  }

  #fold(key: Key, logged: LoggedEvent): void {
    const text = keyText(key);
    if (!this.#wanted(text)) return;
    const { commit } = logged.position;
    if (this.#holds.droppedStream(logged.stream)) this.excepted.add(text);
    if (this.#holds.holdsRow(text, commit) || this.excepts(text)) return;
    const before = this.#model.appendOnly ? undefined : this.rows.get(text)?.row;
    try {
      const row = this.#model.fold(before, logged, key);
      if (row === before) return;
      if (row) this.rows.set(text, { key, row, position: commit });
      else this.rows.delete(text);
    } catch (error) {
      this.failures.set(text, errorText(error));
    }
  }
}
