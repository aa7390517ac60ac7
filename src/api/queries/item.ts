/** Stock. */
import { status } from '@grpc/grpc-js';
import {
  ItemQueryServiceService as methods,
  ListStockRequest,
} from '../../gen/tallyback/item/v1/item_query_service.ts';
import { stock } from '../../projections/stock/stock.ts';
import type { ApiContext } from '../context.ts';
import { ApiError, resourceInfo } from '../errors.ts';
import { bindService, type BoundService } from '../handler.ts';
import { stockOf } from '../row-messages.ts';
import type { Watches } from '../watch/watches.ts';
import type { Freshness } from './consistency.ts';
import { listPage } from './page.ts';

export function itemQueries(context: ApiContext, freshness: Freshness, watches: Watches): BoundService {
  const { reader, rpc } = context;

  return bindService(methods, {
    getStock: rpc.unary(methods.getStock, async ({ merchant, sku, consistency }, call) => {
      const { row, served } = await freshness.answer(stock, consistency, call, () =>
        reader.get(stock, [merchant, sku]),
      );
      if (!row) {
        throw new ApiError(status.NOT_FOUND, 'ITEM_NOT_FOUND', 'nothing is known of that item', {
          details: [resourceInfo('tallyback.item.v1.Stock', `${merchant}/${sku}`)],
          position: served.positionToken,
        });
      }
      return { stock: stockOf(row), read: served };
    }),

    listStock: rpc.unary(methods.listStock, async (request, call) => {
      const { page, consistency, ...filter } = request;
      const listed = await listPage(
        { reader, freshness },
        {
          model: stock,
          filter: filter.merchant === '' ? {} : { merchant: filter.merchant },
          scope: {
            method: methods.listStock.path,
            filter: ListStockRequest.encode({ ...filter, page: undefined, consistency: undefined }).finish(),
          },
          page,
          consistency,
          toMessage: stockOf,
        },
        call,
      );
      return {
        stock: listed.messages,
        nextPageToken: listed.nextPageToken,
        read: listed.served,
      };
    }),

    watchStock: watches.stock,
  });
}
