/** Read models in memory, without the engine. */
import { expect } from 'vitest';
import type { DomainEvent, EventType } from '../../../src/domain/events.ts';
import type { Columns, LoggedEvent, ReadModel, RowOf } from '../../../src/projections/engine/read-model.ts';
import { keyText } from '../../../src/projections/engine/row-key.ts';
import { logged } from './events.ts';

/** Rows by key, sorted, after those of the events that the model handles. Every event is folded twice, to the same end. */
export function fold<C extends Columns>(model: ReadModel<C>, events: readonly LoggedEvent[]): RowOf<C>[] {
  const rows = new Map<string, RowOf<C>>();
  for (const one of events.filter(({ event }) => model.handles.includes(event.type))) {
    const before = new Map(rows);
    for (const key of model.keys(one)) {
      const row = before.get(keyText(key));
      const next = model.fold(row, one, key);
      expect(model.fold(row, one, key)).toEqual(next);
      if (next === undefined) rows.delete(keyText(key));
      else rows.set(keyText(key), next);
    }
  }
  return [...rows].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
}

/** The rows of a read model after events, in order of their keys. */
export const rowsAfter = <C extends Columns, T extends EventType>(
  model: ReadModel<C, T>,
  ...events: readonly DomainEvent<T>[]
): RowOf<C>[] => fold(model, logged(events));
