/**
 * What changed lately in one read model, read once for all who watch it.
 *
 * While somebody watches, the feed reads the changes of every commit and keeps the last ones as segments that
 * join end to start: (after, through] with the rows changed in between, as they were then. A subscriber has a
 * cursor and nothing else. As long as its cursor is within the segments it is served from memory; one that fell
 * behind them — a slow client, a fresh snapshot, a flood of changes — is served from the database, where what
 * changed often meanwhile is one row, and comes back to the segments when it has caught up.
 *
 * When a read model is folded anew, or put right, rows change whose positions do not rise. Nothing a subscriber was sent
 * holds from there on (its incarnation is another one): it must start again with a snapshot.
 *
 * A subscriber whose cursor is inside a segment gets the whole segment. That repeats rows it has seen; rows say
 * everything about themselves, so a repeat does no harm.
 */
import { comparePositions, type Position } from '../../eventstore/port.ts';
import type { Columns, ReadModel, RowOf } from '../../projections/engine/read-model.ts';
import type {
  ChangeCursor,
  ChangePage,
  Filter,
  Progress,
  ReadModelReader,
} from '../../projections/engine/reading.ts';
import { checkpointName } from '../../projections/engine/storage.ts';
import { matcher } from './matches.ts';

const pageRows = 1_024;
/** Rows kept in memory, and so the most that one commit may change and still be served from there. */
const keptRows = 4_096;
const keptSegments = 256;
const retryMs = 1_000;

/** The rows that a cursor speaks of are of another making: only a snapshot tells what is there. */
export class OtherIncarnation extends Error {
  override readonly name = 'OtherIncarnation';
}

interface Segment<C extends Columns> {
  readonly after: Position;
  readonly through: Position;
  readonly rows: readonly RowOf<C>[];
}

export interface Subscription<C extends Columns> {
  /**
   * Changes after the cursor that pass the filter. `limit` holds for what is read from the database; from memory
   * there may be more. Throws OtherIncarnation if that is not the one the cursor speaks of.
   */
  changes(cursor: ChangeCursor, incarnation: string, limit: number): Promise<ChangePage<C>>;
  /** Has the feed look for changes although nobody reported any. */
  poke(): void;
  end(): void;
}

export interface ChangeFeedParts {
  readonly reader: ReadModelReader;
  readonly progress: Progress;
  readonly log: (line: string) => void;
}

export class ChangeFeed<C extends Columns> {
  readonly #model: ReadModel<C>;
  readonly #parts: ChangeFeedParts;
  readonly #subscribers = new Set<() => void>();
  #segments: Segment<C>[] = [];
  #rows = 0;
  /** Where the segments end; undefined before the first look. */
  #tip: Position | undefined;
  /** Of what the segments tell. */
  #incarnation: string | undefined;
  #reading = false;
  #again = false;
  #retry: NodeJS.Timeout | undefined;
  #unlisten: (() => void) | undefined;

  constructor(model: ReadModel<C>, parts: ChangeFeedParts) {
    this.#model = model;
    this.#parts = parts;
  }

  /** `wake` is called when there may be changes. */
  subscribe(filter: Filter<C>, wake: () => void): Subscription<C> {
    const matches = matcher<C>(filter);
    this.#subscribers.add(wake);
    if (this.#subscribers.size === 1) {
      const name = checkpointName(this.#model);
      this.#unlisten = this.#parts.progress.onAdvance(name, () => this.#look());
    }
    this.#look();
    return {
      changes: async (cursor, incarnation, limit) => {
        const recent = this.#recent(cursor, incarnation, matches);
        if (recent) return recent;
        const page = await this.#parts.reader.changes(this.#model, filter, cursor, limit);
        if (page.incarnation !== incarnation) throw new OtherIncarnation(this.#model.name);
        return page;
      },
      poke: () => this.#look(),
      end: () => {
        if (this.#subscribers.delete(wake) && this.#subscribers.size === 0) this.#rest();
      },
    };
  }

  /** Nobody watches: forget everything. */
  #rest(): void {
    this.#unlisten?.();
    this.#unlisten = undefined;
    clearTimeout(this.#retry);
    this.#forget(undefined);
  }

  #forget(tip: Position | undefined): void {
    this.#segments = [];
    this.#rows = 0;
    this.#tip = tip;
  }

  /** The changes after a cursor, if all of them are in memory. */
  #recent(
    cursor: ChangeCursor,
    incarnation: string,
    matches: (row: RowOf<C>) => boolean,
  ): ChangePage<C> | undefined {
    const tip = this.#tip;
    if (!tip || cursor.key !== undefined || this.#incarnation !== incarnation) return undefined;
    const { position } = cursor;
    const all = { end: true, incarnation };
    if (comparePositions(position, tip) >= 0) return { rows: [], cursor, through: position, ...all };
    const first = this.#segments.findIndex(({ through }) => comparePositions(through, position) > 0);
    const oldest = this.#segments[first];
    if (!oldest || comparePositions(oldest.after, position) > 0) return undefined;
    const segments = this.#segments.slice(first);
    const rows = segments.length === 1 ? oldest.rows : latestOf(this.#model, segments);
    return { rows: rows.filter(matches), cursor: { position: tip, key: undefined }, through: tip, ...all };
  }

  #look(): void {
    this.#again = true;
    if (this.#reading) return;
    this.#reading = true;
    void this.#lookUntilDone().finally(() => {
      this.#reading = false;
      if (this.#again && this.#subscribers.size > 0) this.#look();
    });
  }

  async #lookUntilDone(): Promise<void> {
    try {
      while (this.#again && this.#subscribers.size > 0) {
        this.#again = false;
        const [tip, incarnation] = [this.#tip, this.#incarnation];
        await this.#read();
        if (this.#tip !== tip || this.#incarnation !== incarnation)
          for (const wake of this.#subscribers) wake();
      }
    } catch (error) {
      this.#again = false;
      this.#parts.log(`changes of ${this.#model.name} cannot be read: ${String(error)}`);
      clearTimeout(this.#retry);
      if (this.#subscribers.size > 0) this.#retry = setTimeout(() => this.#look(), retryMs);
    }
  }

  /** Reads on from the tip: one more segment, or, if that is too much to keep, none and a new tip. */
  async #read(): Promise<void> {
    const { reader, progress } = this.#parts;
    const after = this.#tip ?? (await progress.through(checkpointName(this.#model)));
    const rows: RowOf<C>[] = [];
    let cursor: ChangeCursor = { position: after, key: undefined };
    for (;;) {
      const page = await reader.changes(this.#model, {}, cursor, pageRows);
      rows.push(...page.rows);
      if (this.#subscribers.size === 0) return;
      if (page.incarnation !== this.#incarnation) {
        // The first look at it: what is to come is told from here on.
        this.#forget(page.through);
        this.#incarnation = page.incarnation;
        return;
      }
      if (page.end) {
        if (comparePositions(page.through, after) > 0) this.#append({ after, through: page.through, rows });
        this.#tip ??= after;
        return;
      }
      if (rows.length > keptRows) {
        this.#forget(await progress.through(checkpointName(this.#model)));
        this.#again = true;
        return;
      }
      cursor = page.cursor;
    }
  }

  #append(segment: Segment<C>): void {
    this.#segments.push(segment);
    this.#rows += segment.rows.length;
    this.#tip = segment.through;
    while (this.#segments.length > keptSegments || (this.#rows > keptRows && this.#segments.length > 1)) {
      this.#rows -= this.#segments.shift()?.rows.length ?? 0;
    }
  }
}

/** Of every row only the last state. */
function latestOf<C extends Columns>(model: ReadModel<C>, segments: readonly Segment<C>[]): RowOf<C>[] {
  const latest = new Map<string, RowOf<C>>();
  for (const { rows } of segments) {
    for (const row of rows) {
      const values: Readonly<Record<string, unknown>> = row;
      const key = model.table.key.map((column) => {
        const value = values[column];
        return value instanceof Date ? value.getTime() : String(value);
      });
      const name = JSON.stringify(key);
      // Deleted first, so that rows stay in order of their last change.
      latest.delete(name);
      latest.set(name, row);
    }
  }
  return [...latest.values()];
}
