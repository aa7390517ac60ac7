/**
 * The part of a line that computes: batches of the log in, changed rows out, in memory. What is to be written, and that
 * it is written, is the line's: so rows may be folded here or in threads, and there is one checkpoint either way.
 */
import { LRUCache } from 'lru-cache';
import type { Position } from '../../eventstore/port.ts';
import type { FoldFailed } from './errors.ts';
import { foldBatch, type EventBatch, type Relevant, sift, type Slot } from './fold-batch.ts';
import { KeyFilter } from './key-filter.ts';
import type { Parking } from './parking.ts';
import type { ReadModel } from './read-model.ts';
import { keyText } from './row-key.ts';
import type { Generation, LineStorage, ParkedEvent } from './storage.ts';

/** Batches folded, as a whole or up to an event that failed. */
export interface FoldedBatches {
  /** By text of the key. */
  readonly changed: ReadonlyMap<string, Slot>;
  readonly parked: readonly ParkedEvent[];
  /** Everything up to here is in `changed` and `parked`, and nothing after it. */
  readonly through: Position;
  /** Of the event after that. */
  readonly failure: FoldFailed | undefined;
}

export interface Folder {
  /**
   * Folds batches that follow those it was given before; `from` is where these ended. `committed`: everything up to
   * there is in the database. After it has thrown, or answered a failure, the object is of no use.
   */
  fold(batches: readonly EventBatch[], from: Position, committed: Position): Promise<FoldedBatches>;
  /** Lets go of what it holds, whatever is under way. Never rejects. */
  close(): Promise<void>;
}

export interface FolderOptions {
  readonly storage: Pick<LineStorage, 'load'>;
  readonly model: ReadModel;
  readonly generation: Generation;
  readonly parking: Parking;
  /** Most rows kept in memory, beside those that are not written yet. */
  readonly cachedRows: number;
  /** Whether the table has no row but what comes of this object. */
  readonly fromNothing: boolean;
  /** The row that has changed and is not yet known to be in the database: not to be seen by a load. */
  readonly unwritten: (keyText: string) => Slot | undefined;
}

const noSlots: ReadonlyMap<string, Slot> = new Map();

/** Folds in this thread. Rows stay in memory: nobody else writes any, which the line's writes prove. */
export class LocalFolder implements Folder {
  readonly #options: FolderOptions;
  readonly #rows: LRUCache<string, Slot>;
  /** Keys of all rows there ever were, where these are known and are more than are in memory. */
  #everMade: KeyFilter | undefined;

  constructor(options: FolderOptions) {
    this.#options = options;
    this.#rows = new LRUCache({ max: options.cachedRows });
  }

  async fold(batches: readonly EventBatch[], from: Position): Promise<FoldedBatches> {
    const { model, parking } = this.#options;
    const { relevant, through, failure } = sift(model, batches, from, parking);
    const rows = model.appendOnly ? noSlots : await this.#rowsOf(relevant);
    const folded = foldBatch(model, relevant, rows, parking);
    const done = folded.failure?.through ?? through;
    if (!model.appendOnly) for (const [text, slot] of folded.changed) this.#keep(text, slot);
    return {
      changed: folded.changed,
      parked: parking.take(done),
      through: done,
      failure: folded.failure?.error ?? failure,
    };
  }

  async close(): Promise<void> {
    this.#rows.clear();
  }

  /** The rows the events touch, as they are before them. Held by the batch: the cache may forget any of them. */
  async #rowsOf(relevant: readonly Relevant[]): Promise<ReadonlyMap<string, Slot>> {
    const { storage, model, generation, unwritten } = this.#options;
    const slots = new Map<string, Slot>();
    const missing = new Map<string, Slot>();
    for (const { touches } of relevant) {
      for (const { text, key } of touches) {
        if (slots.has(text)) continue;
        const known = unwritten(text) ?? this.#rows.get(text);
        const slot = known ?? { key, row: undefined, position: undefined, stored: { yes: false } };
        slots.set(text, slot);
        if (!known && this.#mayBeStored(text)) missing.set(text, slot);
      }
    }
    if (missing.size === 0) return slots;
    const keys = Array.from(missing.values(), ({ key }) => key);
    for (const { key, row } of await storage.load(model, generation, keys)) {
      slots.set(keyText(key), { key, row, position: undefined, stored: { yes: true } });
    }
    return slots;
  }

  #keep(text: string, slot: Slot): void {
    const { fromNothing, cachedRows } = this.#options;
    if (fromNothing && !this.#everMade && this.#rows.size >= cachedRows) {
      // From now on rows are forgotten.
      this.#everMade = new KeyFilter();
      for (const known of this.#rows.keys()) this.#everMade.add(known);
    }
    this.#everMade?.add(text);
    this.#rows.set(text, slot);
  }

  /** Of a row that is not in memory. */
  #mayBeStored(text: string): boolean {
    return !this.#options.fromNothing || (this.#everMade?.mayHave(text) ?? false);
  }
}
