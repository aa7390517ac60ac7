/**
 * A thread that folds one partition of a generation's rows, seen from inside: what it is told and answers are plain
 * data. Who runs it (a worker thread, or a test) carries them to and fro.
 */
import { comparePositions, type Position } from '../../eventstore/port.ts';
import { errorText } from './errors.ts';
import type { Slot } from './fold-batch.ts';
import { LocalFolder } from './folder.ts';
import { packRows, type PackedEvents, type PackedRows, unpackEvents } from './packing.ts';
import { Parking } from './parking.ts';
import { onlyPartition } from './partition.ts';
import type { ReadModel } from './read-model.ts';
import type { Generation, LineStorage, ParkedEvent } from './storage.ts';

/** What a thread is started with. */
export interface FoldStart {
  /** The model is found by its name, on the other side. */
  readonly generation: Generation;
  /** This one, from 0 on, of so many. */
  readonly partition: number;
  readonly partitions: number;
  readonly cachedRows: number;
  /** See FolderOptions. */
  readonly fromNothing: boolean;
  /** See Parking. */
  readonly scopes: ReadonlySet<string>;
  readonly parkAt: Position | undefined;
}

export interface FoldTask {
  readonly events: PackedEvents;
  readonly through: Position;
  /** Everything up to here is in the database. */
  readonly committed: Position;
}

export type FoldAnswer =
  | { readonly rows: PackedRows; readonly parked: readonly ParkedEvent[] }
  /** It could not be folded, or not all of it. For people. */
  | { readonly failed: string };

/** How tasks are done, one after the other. Never rejects. */
export function foldTasks(
  declared: ReadModel,
  storage: Pick<LineStorage, 'load'>,
  { generation, partition, partitions, cachedRows, fromNothing, scopes, parkAt }: FoldStart,
): (task: FoldTask) => Promise<FoldAnswer> {
  const model = declared.partitionBy === 'key' ? onlyPartition(declared, partition, partitions) : declared;
  const unwritten = new Map<string, Slot>();
  const folder = new LocalFolder({
    storage,
    model,
    generation,
    parking: new Parking(scopes, parkAt),
    cachedRows,
    fromNothing,
    unwritten: (text) => unwritten.get(text),
  });
  return async ({ events, through, committed }) => {
    for (const [text, { position }] of unwritten) {
      if (position && comparePositions(position, committed) <= 0) unwritten.delete(text);
    }
    try {
      const batch = { events: unpackEvents(events), through };
      const { changed, parked, failure } = await folder.fold([batch], committed);
      if (failure) return { failed: failure.message };
      const rows = Array.from(changed.values(), ({ position = through, ...slot }) => ({ ...slot, position }));
      const answer = { rows: packRows(model.table, rows), parked };
      if (!model.appendOnly) {
        for (const [text, slot] of changed) {
          unwritten.set(text, slot);
          // From here on only who writes knows whether the table has it.
          slot.stored.yes = undefined;
        }
      }
      return answer;
    } catch (error) {
      return { failed: errorText(error) };
    }
  };
}
