/** The rows of a read model that match a filter, as something to watch. */
import { comparePositions } from '../../eventstore/port.ts';
import type { Columns, ReadModel, RowOf } from '../../projections/engine/read-model.ts';
import type { Filter, Progress, ReadModelReader } from '../../projections/engine/reading.ts';
import { checkpointName } from '../../projections/engine/storage.ts';
import type { ChangeEncoder, Sees } from './change-encoder.ts';
import type { ChangeFeed } from './change-feed.ts';
import type { Semaphore } from './semaphore.ts';
import { OtherIncarnation, type SnapshotPage, type Watched } from './watched.ts';

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

/** `scope` names the view: see resume-token.ts. */
export function watchedTable<C extends Columns>(
  { model, feed, encoder, reader, progress, snapshots }: TableParts<C>,
  { filter, now }: TableView<C>,
  scope: string,
): Watched {
  async function* encoded(pages: AsyncIterable<readonly RowOf<C>[]>): AsyncGenerator<SnapshotPage> {
    for await (const rows of pages) yield { rowCount: rows.length, events: encoder.encode(rows, everything) };
  }
  return {
    async begin({ resumeFrom, changesOnly }) {
      if (!resumeFrom && !changesOnly) return undefined;
      const position = resumeFrom?.position ?? (await progress.through(checkpointName(model)));
      // As the table that serves says: this process may not have heard yet that it is another one.
      const { through, incarnation } = await reader.changes(model, {}, { position, key: undefined }, 1);
      if (!resumeFrom) return { position: through, incarnation };
      // A log that was restored from a backup has never been where the client has been.
      if (incarnation !== resumeFrom.incarnation || comparePositions(position, through) > 0)
        throw new OtherIncarnation(model.name);
      return resumeFrom;
    },
    turn: (signal) => snapshots.enter(signal),
    async snapshot(signal) {
      const wanted: Filter<C> = { ...filter, ...now?.filter };
      const { through, incarnation, pages } = await reader.snapshot(model, wanted, signal);
      return { through, incarnation, pages: encoded(pages) };
    },
    subscribe: (options) => feed.subscribe({ ...options, filter, sees: now?.sees ?? everything, scope }),
  };
}
