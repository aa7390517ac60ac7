/** Batches of the log into changed rows, in memory and in log order. */
import { decodeEvent, eventTypeOf } from '../../domain/codec.ts';
import type { EventType } from '../../domain/events.ts';
import type { LogBatch, Position } from '../../eventstore/port.ts';
import { FoldFailed } from './errors.ts';
import type { AnyRow, Key, LoggedEvent, ReadModel } from './read-model.ts';
import { keyText } from './row-key.ts';

/** A row in memory. */
export interface Slot {
  readonly key: Key;
  /** Undefined: there is none. */
  readonly row: AnyRow | undefined;
  /** Of the last event that changed it; for a row that is as it was loaded, not known. */
  readonly position: Position | undefined;
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
export function sift(model: ReadModel, batches: readonly LogBatch[], from: Position): Sifted {
  const handled = handledTypes(model);
  const relevant: Relevant[] = [];
  let before = from;
  for (const batch of batches) {
    for (const stored of batch.events) {
      if (handled(stored.type)) {
        try {
          const { stream, revision, position } = stored;
          const logged: LoggedEvent = { event: decodeEvent(stored), stream, revision, position };
          const touches = model.keys(logged).map((key) => ({ key, text: keyText(key) }));
          relevant.push({ logged, storedType: stored.type, touches, before });
        } catch (cause) {
          const failure = new FoldFailed(model.name, stored.type, stored.position, cause);
          return { relevant, through: before, failure };
        }
      }
      before = stored.position;
    }
    before = batch.through;
  }
  return { relevant, through: before, failure: undefined };
}

const handledByModel = new WeakMap<ReadModel, (storedType: string) => boolean>();

function handledTypes(model: ReadModel): (storedType: string) => boolean {
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

/** Folds the events into rows (those that are not in `rows` do not exist). An event changes all its rows or, if its fold throws, none. */
export function foldBatch(
  model: ReadModel,
  relevant: readonly Relevant[],
  rows: ReadonlyMap<string, Slot>,
): Folded {
  const changed = new Map<string, Slot>();
  for (const { logged, storedType, touches, before } of relevant) {
    const changes: [text: string, slot: Slot][] = [];
    try {
      for (const { text, key } of touches) {
        const row = (changed.get(text) ?? rows.get(text))?.row;
        const next = model.fold(row, logged, key);
        if (next !== row) changes.push([text, { key, row: next, position: logged.position }]);
      }
    } catch (cause) {
      const error = new FoldFailed(model.name, storedType, logged.position, cause);
      return { changed, failure: { error, through: before } };
    }
    for (const [text, slot] of changes) changed.set(text, slot);
  }
  return { changed, failure: undefined };
}
