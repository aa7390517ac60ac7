/** The watches there are, and how many of them there may be. */
import { status } from '@grpc/grpc-js';
import { AccountQueryServiceService, Balance } from '../../gen/tallyback/account/v1/account_query_service.ts';
import type { ReadConsistency } from '../../gen/tallyback/common/v1/consistency.ts';
import { FiguresQueryServiceService, Window } from '../../gen/tallyback/figures/v1/figures_query_service.ts';
import { ItemQueryServiceService, Stock } from '../../gen/tallyback/item/v1/item_query_service.ts';
import type { Columns, ReadModel, RowOf } from '../../projections/engine/read-model.ts';
import type { Filter } from '../../projections/engine/reading.ts';
import { balance, figures, stock } from '../../projections/index.ts';
import type { ApiContext } from '../context.ts';
import { ApiError, quotaFailure, retryAfter } from '../errors.ts';
import type { BoundMethod, Method } from '../handler.ts';
import type { Freshness } from '../queries/consistency.ts';
import { balanceOf, lengthName, stockOf, windowOf } from '../row-messages.ts';
import { ChangeFeed } from './change-feed.ts';
import { rowEncoder } from './messages.ts';
import { Semaphore } from './semaphore.ts';
import { watch } from './watch.ts';

export interface Watches {
  readonly balances: BoundMethod;
  readonly windows: BoundMethod;
  readonly stock: BoundMethod;
}

interface WatchRequest {
  consistency: ReadConsistency | undefined;
}

interface WatchKind<C extends Columns, Req extends WatchRequest, Res> {
  readonly method: Method<Req, Res, false, true>;
  readonly model: ReadModel<C>;
  readonly filterOf: (request: Req) => Filter<C>;
  readonly encode: (row: RowOf<C>) => Uint8Array;
}

export function openWatches(context: ApiContext, freshness: Freshness): Watches {
  const { reader, tokens, limits, rpc } = context;
  const snapshots = new Semaphore(limits.maxSnapshots);
  let open = 0;

  function watching<C extends Columns, Req extends WatchRequest, Res>(
    kind: WatchKind<C, Req, Res>,
  ): BoundMethod {
    const { model } = kind;
    const feed = new ChangeFeed(model, context);
    const encodeRow = rowEncoder<RowOf<C>>(kind.encode);
    return rpc.serverStream(kind.method, async (request, call) => {
      if (open >= limits.maxWatches) throw tooManyWatches(limits.maxWatches);
      open++;
      try {
        await freshness.fresh(model, request.consistency, call);
        const parts = { model, feed, encodeRow, reader, tokens, limits, snapshots };
        await watch(parts, kind.filterOf(request), call);
      } finally {
        open--;
      }
    });
  }

  return {
    balances: watching({
      method: AccountQueryServiceService.watchBalances,
      model: balance,
      filterOf: ({ members }) => (members.length === 0 ? {} : { member: { in: members } }),
      encode: (row) => Balance.encode(balanceOf(row)).finish(),
    }),
    windows: watching({
      method: FiguresQueryServiceService.watchWindows,
      model: figures,
      filterOf: ({ merchant, length, from }) => ({
        ...(merchant === '' ? {} : { merchant }),
        length: lengthName(length),
        ...(from ? { start: { from } } : {}),
      }),
      encode: (row) => Window.encode(windowOf(row)).finish(),
    }),
    stock: watching({
      method: ItemQueryServiceService.watchStock,
      model: stock,
      filterOf: ({ merchant, skus }) => ({
        ...(merchant === '' ? {} : { merchant }),
        ...(skus.length === 0 ? {} : { sku: { in: skus } }),
      }),
      encode: (row) => Stock.encode(stockOf(row)).finish(),
    }),
  };
}

const tooManyWatches = (most: number): ApiError =>
  new ApiError(status.RESOURCE_EXHAUSTED, 'TOO_MANY_WATCHES', 'too many watches are open', {
    details: [quotaFailure('watches', `at most ${most} at once`), retryAfter(5_000)],
  });
