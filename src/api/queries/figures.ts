/** Trading figures and leaderboards. */
import {
  FiguresQueryServiceService as methods,
  ListWindowsRequest,
} from '../../gen/tallyback/figures/v1/figures_query_service.ts';
import { figures } from '../../projections/figures/figures.ts';
import { leaderboard } from '../../projections/leaderboard/leaderboard.ts';
import type { ApiContext } from '../context.ts';
import { bindService, type BoundService } from '../handler.ts';
import { lengthName, placeOf, windowOf } from '../row-messages.ts';
import type { Watches } from '../watch/watches.ts';
import type { Freshness } from './consistency.ts';
import { leadersOf } from './leaders.ts';
import { listPage } from './page.ts';

export function figuresQueries(context: ApiContext, freshness: Freshness, watches: Watches): BoundService {
  const { reader, rpc } = context;

  return bindService(methods, {
    listWindows: rpc.unary(methods.listWindows, async (request, call) => {
      const { page, consistency, ...filter } = request;
      const { merchant, length, from, until } = filter;
      const listed = await listPage(
        { reader, freshness },
        {
          model: figures,
          filter: {
            ...(merchant === '' ? {} : { merchant }),
            length: lengthName(length),
            ...(from || until ? { start: { from, until } } : {}),
          },
          scope: {
            method: methods.listWindows.path,
            filter: ListWindowsRequest.encode({
              ...filter,
              page: undefined,
              consistency: undefined,
            }).finish(),
          },
          page,
          consistency,
          toMessage: windowOf,
        },
        call,
      );
      return {
        windows: listed.messages,
        nextPageToken: listed.nextPageToken,
        read: listed.served,
      };
    }),

    watchWindows: watches.windows,

    getLeaderboard: rpc.unary(methods.getLeaderboard, async (request, call) => {
      const { rows, served } = await freshness.answer(leaderboard, request.consistency, call, () =>
        reader.list(leaderboard, leadersOf(request)),
      );
      return {
        rows: rows.map(placeOf),
        read: served,
      };
    }),

    watchLeaderboard: watches.leaderboard,
  });
}
