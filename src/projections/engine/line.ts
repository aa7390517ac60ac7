/**
 * One generation of a read model being written by one writer.
 *
 *   feed:   fold (see folder.ts) → add the changed rows to those that are pending
 *   write:  one transaction for all that is pending, whose first part is the compare-and-set of the checkpoint
 *
 *   idle → feed changed rows, enough of them → writing → too little pending → idle
 *          save, anything pending            → writing → enough pending     → writing
 *                                              writing → failed
 *
 * So while Postgres writes, folding goes on; the busier it is, and the more rows are waited for (`leastPending`), the
 * more changes of a row become one. `handled` is ahead of `committed` by what is pending and being written, and by
 * events that changed no row; `save` saves all of it. Rows stay in memory after a write: the checkpoint's compare-and-set proves that nobody else has
 * written any. After any failure the object is of no use; start a new one from the stored checkpoint.
 */
import { comparePositions, type LogBatch, type Position } from '../../eventstore/port.ts';
import { Fenced } from './errors.ts';
import type { Slot } from './fold-batch.ts';
import type { Folder, FolderOptions } from './folder.ts';
import type { ReadModel } from './read-model.ts';
import type { Generation, Held, LineStorage, ParkedEvent, StoredRow } from './storage.ts';

export interface LineOptions {
  readonly storage: LineStorage;
  readonly model: ReadModel;
  readonly generation: Generation;
  readonly held: Held;
  /** Opens what folds. It is closed with the line. */
  readonly openFolder: (unwritten: FolderOptions['unwritten']) => Folder;
  /** With more rows than this waiting to be written, folding waits too. */
  readonly mostPending: number;
  /** With fewer rows than this waiting to be written, no write begins by itself: see `save`. At least 1. */
  readonly leastPending: () => number;
  /** Milliseconds on a clock that never goes back. */
  readonly clock: () => number;
  /** Called when a write or a move of the checkpoint is committed. */
  readonly committed: (after: Position, through: Position, rows: readonly StoredRow[]) => void;
  /** Called when a write has failed. */
  readonly failed: () => void;
}

const noSlots: ReadonlyMap<string, Slot> = new Map();

export class Line {
  readonly #options: LineOptions;
  readonly #folder: Folder;
  /** Changed, and not yet on the way to the database. */
  #pending = new Map<string, Slot>();
  #parked: ParkedEvent[] = [];
  /** Everything up to here is in the database once what is pending is. */
  #pendingTo: Position;
  /** On the way: not yet to be seen by a load. */
  #inFlight: ReadonlyMap<string, Slot> = noSlots;
  /** A write is under way, or has failed. */
  #busy = false;
  #writing: Promise<void> = Promise.resolve();
  #closed = false;
  #failure: { readonly error: unknown } | undefined;
  #writeTime = 0;
  #committed: Position;
  #handled: Position;

  constructor(options: LineOptions) {
    this.#options = options;
    this.#folder = options.openFolder((text) => this.#pending.get(text) ?? this.#inFlight.get(text));
    this.#committed = options.held.position;
    this.#handled = options.held.position;
    this.#pendingTo = options.held.position;
  }

  /** Everything up to here is folded. */
  get handled(): Position {
    return this.#handled;
  }

  /** Everything up to here is in the database. */
  get committed(): Position {
    return this.#committed;
  }

  /** How long the last write took, in milliseconds. */
  get writeTime(): number {
    return this.#writeTime;
  }

  /** Whether there is something `save` would save. */
  get unsaved(): boolean {
    return !this.#busy && comparePositions(this.#handled, this.#committed) > 0;
  }

  /** Throws why a write has failed. */
  check(): void {
    if (this.#failure) throw this.#failure.error;
  }

  /**
   * Takes in batches; their rows are then on the way, or pending. Answers how many rows they changed. Throws
   * FoldFailed after having written what lies before the event, Fenced, and what the storage says.
   */
  async feed(batches: readonly LogBatch[]): Promise<number> {
    const { changed, parked, through, failure } = await this.#folder.fold(
      batches,
      this.#handled,
      this.#committed,
    );
    for (const [text, slot] of changed) this.#pending.set(text, slot);
    this.#parked.push(...parked);
    this.#handled = through;
    if (this.#hasPending) this.#pendingTo = through;
    if (!this.#busy) this.#writeIfDue();
    while (this.#pending.size > this.#options.mostPending) await this.#oneWritten();
    if (failure) {
      await this.save();
      throw failure;
    }
    return changed.size;
  }

  /** Writes what is pending, and moves the checkpoint over events that changed nothing. */
  async save(): Promise<void> {
    this.check();
    while (this.#busy || this.#hasPending) {
      if (!this.#busy) this.#writePending();
      await this.#oneWritten();
    }
    if (!this.unsaved) return;
    const { storage, model, held } = this.#options;
    const from = this.#committed;
    const to = this.#handled;
    if (!(await storage.move(held, from, to))) throw new Fenced(`${model.name} is written by somebody else`);
    this.#committed = to;
    this.#options.committed(from, to, []);
  }

  /** Starts no more writes, and answers when none is under way and nothing is held any more. Never rejects. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#writing, this.#folder.close()]);
  }

  get #hasPending(): boolean {
    return this.#pending.size > 0 || this.#parked.length > 0;
  }

  async #oneWritten(): Promise<void> {
    await this.#writing;
    this.check();
  }

  #writeIfDue(): void {
    const isDue = this.#pending.size >= this.#options.leastPending() || this.#parked.length > 0;
    if (isDue && !this.#closed) this.#writePending();
  }

  #writePending(): void {
    const [changed, parked] = [this.#pending, this.#parked];
    const to = this.#pendingTo;
    this.#pending = new Map();
    this.#parked = [];
    this.#inFlight = changed;
    this.#busy = true;
    const startedAt = this.#options.clock();
    this.#writing = this.#send(changed, parked, to).then(
      (rows) => {
        const from = this.#committed;
        this.#writeTime = this.#options.clock() - startedAt;
        this.#busy = false;
        this.#inFlight = noSlots;
        this.#committed = to;
        this.#writeIfDue();
        this.#options.committed(from, to, rows);
      },
      (error: unknown) => {
        this.#failure = { error };
        this.#options.failed();
      },
    );
  }

  async #send(
    changed: ReadonlyMap<string, Slot>,
    parked: readonly ParkedEvent[],
    to: Position,
  ): Promise<readonly StoredRow[]> {
    const { storage, model, generation, held } = this.#options;
    const rows: StoredRow[] = [];
    for (const { key, row, position, stored } of changed.values()) {
      rows.push({ key, row, position: position ?? to, isStored: stored.yes });
    }
    const from = this.#committed;
    if (!(await storage.write({ model, generation, held, from, to, rows, parked })))
      throw new Fenced(`${model.name} is written by somebody else`);
    for (const { row, stored } of changed.values()) stored.yes = row !== undefined;
    return rows;
  }
}
