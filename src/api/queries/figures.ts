/** Trading figures and leaderboards. */
import {
  boardToJSON,
  FiguresQueryServiceService as methods,
  ListWindowsRequest,
} from '../../gen/tallyback/figures/v1/figures_query_service.ts';
import { figures } from '../../projections/figures/figures.ts';
import { leaderboard } from '../../projections/leaderboard/leaderboard.ts';
import type { ApiContext } from '../context.ts';
import { bindService, type BoundService } from '../handler.ts';
import { lengthName, windowOf } from '../row-messages.ts';
import type { Watches } from '../watch/watches.ts';
import type { Freshness } from './consistency.ts';
import { listPage } from './page.ts';

const places = 10;

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
      const { board, merchant, month, limit, consistency } = request;
      const { rows, served } = await freshness.answer(leaderboard, consistency, call, () =>
        reader.list(leaderboard, {
          filter: { board: boardToJSON(board), merchant, month },
          limit: limit === 0 ? places : limit,
          orderBy: [{ column: 'score', descending: true }, { column: 'subject' }, { column: 'currency' }],
        }),
      );
      return {
        rows: rows.map(({ subject, currency, score }, index) => ({
          rank: index + 1,
          subject,
          currency,
          score,
        })),
        read: served,
      };
    }),
  });
}
