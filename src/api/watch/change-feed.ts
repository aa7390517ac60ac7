/**
 * What changed lately in one read model, read once for all who watch it.
 *
 * While somebody watches, the feed reads the changes of every commit and keeps the last ones as segments that
 * join end to start: (after, through] with the rows changed in between, as they were then. A subscriber has a
 * cursor and nothing else. As long as its cursor is within the segments it is served from memory; one that fell
 * behind them — a slow client, a fresh snapshot, a flood of changes — is served from the database, where what
 * changed often meanwhile is one row, and comes back to the segments when it has caught up.
 *
 * When a read model is replayed its checkpoint goes back. Nothing a subscriber was sent holds from there on, so the
 * watches end with UNAVAILABLE, READ_MODEL_REBUILT, and start again with a snapshot.
 *
 * A subscriber whose cursor is inside a segment gets the whole segment. That repeats rows it has seen; rows say
 * everything about themselves, so a repeat does no harm.
 */
import { status } from '@grpc/grpc-js';
import { comparePositions, type Position } from '../../eventstore/port.ts';
import type { Columns, ReadModel, RowOf } from '../../projections/engine/read-model.ts';
import type {
  ChangeCursor,
  ChangePage,
  Filter,
  Progress,
  ReadModelReader,
} from '../../projections/engine/reading.ts';
import { checkpointName } from '../../projections/engine/schema.ts';
import { ApiError, retryAfter } from '../errors.ts';
import { matcher } from './matches.ts';

const pageRows = 1_024;
/** Rows kept in memory, and so the most that one commit may change and still be served from there. */
const keptRows = 4_096;
const keptSegments = 256;
const retryMs = 1_000;

interface Segment<C extends Columns> {
  readonly after: Position;
  readonly through: Position;
  readonly rows: readonly RowOf<C>[];
}

export interface Subscription<C extends Columns> {
  /**
   * Changes after the cursor that pass the filter. `limit` holds for what is read from the database; from memory
   * there may be more.
   */
  changes(cursor: ChangeCursor, limit: number): Promise<ChangePage<C>>;
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
  /** How often the read model was seen to be replayed. */
  #replays = 0;
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
    const replays = this.#replays;
    this.#subscribers.add(wake);
    if (this.#subscribers.size === 1) {
      const name = checkpointName(this.#model);
      this.#unlisten = this.#parts.progress.onAdvance(name, () => this.#look());
    }
    this.#look();
    return {
      changes: async (cursor, limit) => {
        if (this.#replays !== replays) throw rebuilt(this.#model);
        const recent = this.#recent(cursor, matches);
        if (recent) return recent;
        const page = await this.#parts.reader.changes(this.#model, filter, cursor, limit);
        if (comparePositions(page.through, cursor.position) < 0) throw rebuilt(this.#model);
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
  #recent(cursor: ChangeCursor, matches: (row: RowOf<C>) => boolean): ChangePage<C> | undefined {
    const tip = this.#tip;
    if (!tip || cursor.key !== undefined) return undefined;
    const { position } = cursor;
    if (comparePositions(position, tip) >= 0) return { rows: [], cursor, end: true, through: position };
    const first = this.#segments.findIndex(({ through }) => comparePositions(through, position) > 0);
    const oldest = this.#segments[first];
    if (!oldest || comparePositions(oldest.after, position) > 0) return undefined;
    const segments = this.#segments.slice(first);
    const rows = segments.length === 1 ? oldest.rows : latestOf(this.#model, segments);
    return { rows: rows.filter(matches), cursor: { position: tip, key: undefined }, end: true, through: tip };
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
        const [tip, replays] = [this.#tip, this.#replays];
        await this.#read();
        if (this.#tip !== tip || this.#replays !== replays) for (const wake of this.#subscribers) wake();
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
      if (comparePositions(page.through, after) < 0) {
        this.#replays++;
        this.#forget(undefined);
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

const rebuilt = (model: ReadModel): ApiError =>
  new ApiError(status.UNAVAILABLE, 'READ_MODEL_REBUILT', `${model.name} is being replayed; watch again`, {
    metadata: { name: checkpointName(model) },
    details: [retryAfter(1_000)],
  });

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
