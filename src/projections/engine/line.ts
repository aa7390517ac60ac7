/**
 * One read model being written by one writer.
 *
 *   feed:   sift and decode → load rows not in memory → fold → add the changed rows to those that are pending
 *   write:  one statement for all pending rows: compare-and-set of the checkpoint, upsert, delete (see TableSql)
 *
 *   idle → feed changed rows → writing → nothing pending → idle
 *                              writing → something pending → writing
 *                              writing → failed
 *
 * So while Postgres writes, folding goes on; the busier it is, the more changes of a row become one. `handled` is
 * ahead of `committed` by what is pending and being written, and by events that changed no row; the latter are
 * saved by `save`. Rows stay in memory after a
 * write: the checkpoint's compare-and-set proves that nobody else has written any. After any failure the object
 * is of no use; start a new one from the stored checkpoint.
 *
 * Locks are taken table first, then checkpoint (Postgres locks all tables of a statement before it begins); who
 * empties or drops a table must do it in the same order.
 */
import { LRUCache } from 'lru-cache';
import type pg from 'pg';
import { comparePositions, formatPosition, type LogBatch, type Position } from '../../eventstore/port.ts';
import { type Held, moveCheckpoint } from './checkpoint.ts';
import { Fenced } from './errors.ts';
import { foldBatch, sift, type Relevant, type Slot } from './fold-batch.ts';
import type { Key, ReadModel } from './read-model.ts';
import { columnParsers, columnType, decodeRow, encodeArray, encodeKeys, keyOf } from './row-codec.ts';
import { keyText } from './row-key.ts';
import { checkpointName } from './schema.ts';
import { tableSql } from './table-sql.ts';

export interface LineOptions {
  readonly pool: pg.Pool;
  readonly model: ReadModel;
  readonly held: Held;
  /** Most rows kept in memory. */
  readonly cachedRows: number;
  /** Milliseconds on a clock that never goes back. */
  readonly clock: () => number;
  /** Called when a position is committed, and (without one) when a write has failed. */
  readonly settled: (committed: Position | undefined, rows: number) => void;
}

const noSlots: ReadonlyMap<string, Slot> = new Map();

/** With more rows than this waiting to be written, folding waits too. */
const mostPending = 20_000;

export class Line {
  readonly #options: LineOptions;
  readonly #rows: LRUCache<string, Slot>;
  /** Changed, and not yet on the way to the database. */
  #pending = new Map<string, Slot>();
  /** Everything up to here is in the database once the pending rows are. */
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
    this.#rows = new LRUCache({ max: options.cachedRows });
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
   * FoldFailed after having written what lies before the event, Fenced, and what Postgres says.
   */
  async feed(batches: readonly LogBatch[]): Promise<number> {
    const { model } = this.#options;
    const { relevant, through, failure } = sift(model, batches, this.#handled);
    const rows = model.appendOnly ? noSlots : await this.#rowsOf(relevant);
    const folded = foldBatch(model, relevant, rows);
    const done = folded.failure?.through ?? through;
    for (const [text, slot] of folded.changed) {
      if (!model.appendOnly) this.#rows.set(text, slot);
      this.#pending.set(text, slot);
    }
    this.#handled = done;
    if (this.#pending.size > 0) this.#pendingTo = done;
    if (!this.#busy) this.#writePending();
    while (this.#pending.size > mostPending) await this.#oneWritten();
    const failed = folded.failure?.error ?? failure;
    if (failed) {
      await this.save();
      throw failed;
    }
    return folded.changed.size;
  }

  /** Waits for the write under way and moves the checkpoint over events that changed nothing. */
  async save(): Promise<void> {
    await this.#written();
    if (!this.unsaved) return;
    await this.#move(this.#handled);
    this.#committed = this.#handled;
    this.#options.settled(this.#committed, 0);
  }

  /** Shows that the writer lives; throws Fenced if it has been replaced. */
  async keepAlive(): Promise<void> {
    await this.#written();
    await this.#move(this.#committed);
  }

  /** Starts no more writes, and answers when none is under way. Never rejects. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#writing;
  }

  async #written(): Promise<void> {
    this.check();
    while (this.#busy) await this.#oneWritten();
  }

  async #oneWritten(): Promise<void> {
    await this.#writing;
    this.check();
  }

  /** The rows the events touch, as they are before them. Held by the batch: the cache may forget any of them. */
  async #rowsOf(relevant: readonly Relevant[]): Promise<ReadonlyMap<string, Slot>> {
    const slots = new Map<string, Slot>();
    const missing = new Map<string, Slot>();
    for (const { touches } of relevant) {
      for (const { text, key } of touches) {
        if (slots.has(text)) continue;
        const known = this.#pending.get(text) ?? this.#inFlight.get(text) ?? this.#rows.get(text);
        const slot = known ?? { key, row: undefined, position: undefined };
        slots.set(text, slot);
        if (!known) missing.set(text, slot);
      }
    }
    if (missing.size === 0) return slots;
    const { pool, model } = this.#options;
    const { load, columns } = tableSql(model);
    const { columns: specs, key: keyColumns } = model.table;
    const { rows } = await pool.query<unknown[]>({
      ...load,
      values: encodeKeys(
        specs,
        keyColumns,
        Array.from(missing.values(), ({ key }) => key),
      ),
      rowMode: 'array',
      types: columnParsers,
    });
    for (const values of rows) {
      const row = decodeRow(columns, values);
      const key = keyOf(keyColumns, row);
      slots.set(keyText(key), { key, row, position: undefined });
    }
    return slots;
  }

  #writePending(): void {
    if (this.#pending.size === 0 || this.#closed) return;
    const changed = this.#pending;
    const to = this.#pendingTo;
    this.#pending = new Map();
    this.#inFlight = changed;
    this.#busy = true;
    const startedAt = this.#options.clock();
    this.#writing = this.#send(changed, to).then(
      () => {
        this.#writeTime = this.#options.clock() - startedAt;
        this.#busy = false;
        this.#inFlight = noSlots;
        this.#committed = to;
        this.#writePending();
        this.#options.settled(to, changed.size);
      },
      (error: unknown) => {
        this.#failure = { error };
        this.#options.settled(undefined, 0);
      },
    );
  }

  async #send(changed: ReadonlyMap<string, Slot>, to: Position): Promise<void> {
    const { pool, model, held } = this.#options;
    const sql = tableSql(model);
    const { columns: specs, key } = model.table;
    const kept: Slot[] = [];
    const removed: Key[] = [];
    for (const slot of changed.values()) {
      if (slot.row) kept.push(slot);
      else removed.push(slot.key);
    }
    const values: unknown[] = [
      checkpointName(model),
      held.epoch,
      formatPosition(this.#committed),
      formatPosition(to),
      ...sql.columns.map((name) =>
        encodeArray(
          columnType(specs, name),
          kept.map(({ row }) => row?.[name]),
        ),
      ),
      `{${kept.map(({ position }) => position?.commit).join(',')}}`,
    ];
    const statement = removed.length === 0 ? sql.write : sql.writeAndRemove;
    if (removed.length > 0) values.push(...encodeKeys(specs, key, removed));
    const { rows } = await pool.query<{ moved: number }>({ ...statement, values });
    if (rows[0]?.moved !== 1) throw new Fenced(`${model.name} is written by somebody else`);
  }

  async #move(to: Position): Promise<void> {
    const { pool, model, held } = this.#options;
    const from = { epoch: held.epoch, position: this.#committed };
    if (!(await moveCheckpoint(pool, checkpointName(model), from, to))) {
      throw new Fenced(`${model.name} is written by somebody else`);
    }
  }
}
