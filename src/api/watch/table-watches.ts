/** Watches of the rows of read models: from a request to its watch. */
import type { ReadConsistency } from '../../gen/tallyback/common/v1/consistency.ts';
import type { WatchOptions } from '../../gen/tallyback/common/v1/watch.ts';
import type { Columns, ReadModel } from '../../projections/engine/read-model.ts';
import { checkpointName } from '../../projections/engine/storage.ts';
import type { ApiContext } from '../context.ts';
import type { Method } from '../handler.ts';
import type { Freshness } from '../queries/consistency.ts';
import { ChangeEncoder, type RowForm } from './change-encoder.ts';
import { ChangeFeed } from './change-feed.ts';
import { WatchCounts } from './counts.ts';
import type { Places } from './places.ts';
import { resumeTokens, scopeOf } from './resume-token.ts';
import { Semaphore } from './semaphore.ts';
import { readSettings } from './settings.ts';
import { Stamps } from './stamps.ts';
import { type WatchMethod, watchMethod } from './watch-method.ts';
import { type TableView, WatchedTable } from './watched-table.ts';

interface WatchRequest {
  consistency: ReadConsistency | undefined;
  options: WatchOptions | undefined;
}

interface WatchKind<C extends Columns, Req extends WatchRequest, Res> extends RowForm<C> {
  readonly method: Method<Req, Res, false, true>;
  readonly model: ReadModel<C>;
  /** `filter` on columns that never change once they match; `now` on others. */
  readonly filterOf: (request: Req) => TableView<C>;
  /** The request's own encoding: without consistency and options it names the filter. */
  readonly scopeOf: { encode(request: Req): { finish(): Uint8Array } };
}

export class TableWatches {
  readonly #context: ApiContext;
  readonly #freshness: Freshness;
  readonly #places: Places;
  readonly #snapshots: Semaphore;

  constructor(context: ApiContext, freshness: Freshness, places: Places) {
    this.#context = context;
    this.#freshness = freshness;
    this.#places = places;
    this.#snapshots = new Semaphore(context.limits.maxSnapshots);
  }

  bind<C extends Columns, Req extends WatchRequest, Res>(kind: WatchKind<C, Req, Res>): WatchMethod {
    const { model } = kind;
    const context = this.#context;
    const counts = new WatchCounts();
    const encoder = new ChangeEncoder<C>(kind);
    const feed = new ChangeFeed(model, encoder, { ...context, counts, lagMs: context.limits.lagMs });
    const feedTokens = resumeTokens(context.seal, checkpointName(model));
    const table = { ...context, model, encoder, feed, snapshots: this.#snapshots };
    const stamps = new Stamps({ ...context, resumeTokens: feedTokens });
    const parts = { ...context, counts, stamps, places: this.#places };
    return watchMethod(context.rpc, kind.method, parts, async (request, viewer) => {
      const filterBytes = kind.scopeOf.encode({ ...request, consistency: undefined, options: undefined });
      const scope = scopeOf(model.name, filterBytes.finish());
      const settings = await readSettings(context, request.options, feedTokens, scope);
      await this.#freshness.fresh(model, request.consistency, viewer);
      return { watched: new WatchedTable(table, kind.filterOf(request), scope), scope, settings };
    });
  }
}
