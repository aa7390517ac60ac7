/** Batches of the log into changed rows, in memory and in log order. */
import { decodeEvent, eventTypeOf } from '../../domain/codec.ts';
import type { EventType } from '../../domain/events.ts';
import type { Position, RecordedEvent } from '../../eventstore/port.ts';
import { FoldFailed } from './errors.ts';
import type { Parking } from './parking.ts';
import type { AnyRow, Key, LoggedEvent, ReadModel } from './read-model.ts';
import { keyText } from './row-key.ts';

/** Of a batch of the log: all that folding looks at. */
export interface EventBatch {
  readonly events: readonly Pick<RecordedEvent, 'type' | 'data' | 'stream' | 'revision' | 'position'>[];
  readonly through: Position;
}

/** A row in memory. */
export interface Slot {
  readonly key: Key;
  /** Undefined: there is none. */
  readonly row: AnyRow | undefined;
  /** Of the last event that changed it; for a row that is as it was loaded, not known. */
  readonly position: Position | undefined;
  /** The same object for all states of a row: whether the table has it. */
  readonly stored: { yes: boolean | undefined };
}

interface Touch {
  readonly text: string;
  readonly key: Key;
}

/** An event that concerns the read model, and the rows it touches. */
export interface Relevant {
  readonly logged: LoggedEvent;
  readonly storedType: string;
  readonly touches: readonly Touch[];
  /** Of the event before, to which everything is done if this one cannot be taken in. */
  readonly before: Position;
}

export interface Sifted {
  readonly relevant: readonly Relevant[];
  /** Everything up to here is sifted: what does not concern the read model is done. */
  readonly through: Position;
  readonly failure: FoldFailed | undefined;
}

/** Decodes the events the read model handles and leaves out the others unread; stops before one that fails. */
export function sift(
  model: ReadModel,
  batches: readonly EventBatch[],
  from: Position,
  parking: Parking,
): Sifted {
  const handled = handledTypes(model);
  const relevant: Relevant[] = [];
  let before = from;
  for (const batch of batches) {
    for (const stored of batch.events) {
      if (handled(stored.type) && !parking.holdsStream(stored)) {
        try {
          const { stream, revision, position } = stored;
          const logged: LoggedEvent = { event: decodeEvent(stored), stream, revision, position };
          const touches = model.keys(logged).map((key) => ({ key, text: keyText(key) }));
          relevant.push({ logged, storedType: stored.type, touches, before });
        } catch (cause) {
          if (!parking.accepts(stored)) {
            const failure = new FoldFailed(model.name, stored.type, stored.position, cause);
            return { relevant, through: before, failure };
          }
          parking.parkStream(stored, cause);
        }
      }
      before = stored.position;
    }
    before = batch.through;
  }
  return { relevant, through: before, failure: undefined };
}

const handledByModel = new WeakMap<ReadModel, (storedType: string) => boolean>();

/** Whether a stored type is one that the read model handles. */
export function handledTypes(model: ReadModel): (storedType: string) => boolean {
  const known = handledByModel.get(model);
  if (known) return known;
  const types = new Set<EventType>(model.handles);
  // A type that no read model of this version knows concerns none of them.
  const handled = (storedType: string): boolean => {
    const type = eventTypeOf(storedType);
    return type !== undefined && types.has(type);
  };
  handledByModel.set(model, handled);
  return handled;
}

export interface Folded {
  readonly changed: ReadonlyMap<string, Slot>;
  /** The event that failed, and how far everything is done. */
  readonly failure: { readonly error: FoldFailed; readonly through: Position } | undefined;
}

/**
 * Folds the events into rows (those that are not in `rows` do not exist). An event changes all its rows that are not
 * parked or, if its fold throws, none.
 */
export function foldBatch(
  model: ReadModel,
  relevant: readonly Relevant[],
  rows: ReadonlyMap<string, Slot>,
  parking: Parking,
): Folded {
  const changed = new Map<string, Slot>();
  for (const { logged, storedType, touches, before } of relevant) {
    const { stream, revision, position } = logged;
    const where = { stream, revision, position, type: storedType };
    const changes: [text: string, slot: Slot][] = [];
    for (const { text, key } of touches) {
      if (parking.holdsRow(text, where)) continue;
      const slot = changed.get(text) ?? rows.get(text);
      try {
        const next = model.fold(slot?.row, logged, key);
        if (next === slot?.row) continue;
        changes.push([text, { key, row: next, position, stored: slot?.stored ?? { yes: false } }]);
      } catch (cause) {
        if (!parking.accepts(where)) {
          const error = new FoldFailed(model.name, storedType, position, cause);
          return { changed, failure: { error, through: before } };
        }
        parking.parkRow(text, where, cause);
      }
    }
    for (const [text, slot] of changes) changed.set(text, slot);
  }
  return { changed, failure: undefined };
}
