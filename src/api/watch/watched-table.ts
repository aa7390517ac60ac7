/** The rows of a read model that match a filter, as something to watch. */
import { comparePositions } from '../../eventstore/port.ts';
import type { Columns, ReadModel, RowOf } from '../../projections/engine/read-model.ts';
import type { Filter, Progress, ReadModelReader } from '../../projections/engine/reading.ts';
import { checkpointName } from '../../projections/engine/storage.ts';
import type { ChangeEncoder, Sees } from './change-encoder.ts';
import type { ChangeFeed } from './change-feed.ts';
import type { Semaphore } from './semaphore.ts';
import type { Moment } from './resume-token.ts';
import type { WatchSettings } from './settings.ts';
import {
  OtherIncarnation,
  type Snapshot,
  type SnapshotPage,
  type SubscribeOptions,
  type Subscription,
  type Watched,
} from './watched.ts';

/** What all watches of a read model share. */
export interface TableParts<C extends Columns> {
  readonly model: ReadModel<C>;
  readonly feed: ChangeFeed<C>;
  readonly encoder: ChangeEncoder<C>;
  readonly reader: ReadModelReader;
  readonly progress: Pick<Progress, 'through'>;
  /** Snapshots of tables being read: each holds a database connection. */
  readonly snapshots: Semaphore;
}

/** What one client wants to see of it. */
export interface TableView<C extends Columns> {
  /** On columns that never change in a row. */
  readonly filter: Filter<C>;
  /** On others, as the database and as the feed apply it; absent: everything that passes `filter`. */
  readonly now?: { readonly filter: Filter<C>; readonly sees: Sees<C> };
}

const everything = (): boolean => true;

export class WatchedTable<C extends Columns> implements Watched {
  readonly #table: TableParts<C>;
  readonly #view: TableView<C>;
  /** Names the view: see resume-token.ts. */
  readonly #scope: string;

  constructor(table: TableParts<C>, view: TableView<C>, scope: string) {
    this.#table = table;
    this.#view = view;
    this.#scope = scope;
  }

  async begin({ resumeFrom, changesOnly }: WatchSettings): Promise<Moment | undefined> {
    const { model, reader, progress } = this.#table;
    if (!resumeFrom && !changesOnly) return undefined;
    const position = resumeFrom?.position ?? (await progress.through(checkpointName(model)));
    // As the table that serves says: this process may not have heard yet that it is another one.
    const { through, incarnation } = await reader.changes(model, {}, { position, key: undefined }, 1);
    if (!resumeFrom) return { position: through, incarnation };
    // A log that was restored from a backup has never been where the client has been.
    if (incarnation !== resumeFrom.incarnation || comparePositions(position, through) > 0)
      throw new OtherIncarnation(model.name);
    return resumeFrom;
  }

  turn(signal: AbortSignal): Promise<() => void> {
    return this.#table.snapshots.enter(signal);
  }

  async snapshot(signal: AbortSignal): Promise<Snapshot> {
    const { model, reader } = this.#table;
    const { filter, now } = this.#view;
    const wanted: Filter<C> = { ...filter, ...now?.filter };
    const { through, incarnation, pages } = await reader.snapshot(model, wanted, signal);
    return { through, incarnation, pages: this.#encoded(pages) };
  }

  subscribe(options: SubscribeOptions): Subscription {
    const { filter, now } = this.#view;
    return this.#table.feed.subscribe({
      ...options,
      filter,
      sees: now?.sees ?? everything,
      scope: this.#scope,
    });
  }

  async *#encoded(pages: AsyncIterable<readonly RowOf<C>[]>): AsyncGenerator<SnapshotPage> {
    const { encoder } = this.#table;
    for await (const rows of pages) yield { rowCount: rows.length, events: encoder.encode(rows, everything) };
  }
}
