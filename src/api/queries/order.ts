/** Reported documents. */
import { status } from '@grpc/grpc-js';
import {
  ListOrdersRequest,
  type Order,
  OrderLineState,
  OrderQueryServiceService as methods,
  TimelineEntry,
} from '../../gen/tallyback/order/v1/order_query_service.ts';
import { orders, type OrderRow } from '../../projections/orders/orders.ts';
import type { ApiContext } from '../context.ts';
import { ApiError, resourceInfo } from '../errors.ts';
import { bindService, type BoundService } from '../handler.ts';
import { orderOf } from '../row-messages.ts';
import type { Watches } from '../watch/watches.ts';
import type { Freshness } from './consistency.ts';
import { listPage } from './page.ts';

/** The elements of a JSON array that the projection wrote. */
function elements<T>(text: string, fromJSON: (object: unknown) => T): T[] {
  const array: unknown = JSON.parse(text);
  return Array.isArray(array) ? array.map((element) => fromJSON(element)) : [];
}

const wholeOrderOf = (row: OrderRow): Order => ({
  ...orderOf(row),
  lines: elements(row.lines, (line) => OrderLineState.fromJSON(line)),
  timeline: elements(row.timeline, (entry) => TimelineEntry.fromJSON(entry)),
});

export function orderQueries(context: ApiContext, freshness: Freshness, watches: Watches): BoundService {
  const { reader, rpc } = context;

  return bindService(methods, {
    getOrder: rpc.unary(methods.getOrder, async ({ source, externalId, consistency }, call) => {
      const { row, served } = await freshness.answer(orders, consistency, call, () =>
        reader.get(orders, [source, externalId]),
      );
      if (!row) {
        throw new ApiError(status.NOT_FOUND, 'ORDER_NOT_FOUND', 'nothing was reported under that id', {
          details: [resourceInfo('tallyback.order.v1.Order', `${source}/${externalId}`)],
          position: served.positionToken,
        });
      }
      return { order: wholeOrderOf(row), read: served };
    }),

    listOrders: rpc.unary(methods.listOrders, async (request, call) => {
      const { page, consistency, ...filter } = request;
      const { source, merchant, member } = filter;
      const listed = await listPage(
        { reader, freshness },
        {
          model: orders,
          filter: {
            ...(source === '' ? {} : { source }),
            ...(merchant === '' ? {} : { merchant }),
            ...(member === '' ? {} : { member }),
          },
          scope: {
            method: methods.listOrders.path,
            filter: ListOrdersRequest.encode({ ...filter, page: undefined, consistency: undefined }).finish(),
          },
          page,
          consistency,
          toMessage: orderOf,
        },
        call,
      );
      return {
        orders: listed.messages,
        nextPageToken: listed.nextPageToken,
        read: listed.served,
      };
    }),

    watchOrders: watches.orders,
  });
}
