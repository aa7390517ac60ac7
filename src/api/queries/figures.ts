/** Trading figures and leaderboards. */
import {
  boardToJSON,
  FiguresQueryServiceService as methods,
  ListWindowsRequest,
  type Window,
  WindowLength,
} from '../../gen/tallyback/figures/v1/figures_query_service.ts';
import { figures, type FiguresRow } from '../../projections/figures/figures.ts';
import { leaderboard } from '../../projections/leaderboard/leaderboard.ts';
import type { ApiContext } from '../context.ts';
import { bindService, type BoundService } from '../handler.ts';
import type { Watches } from '../watch/watches.ts';
import type { Freshness } from './consistency.ts';
import { listPage } from './page.ts';

const places = 10;

/** As the projection names it; validation lets only known lengths through. */
export const lengthName = (length: WindowLength): string => (length === WindowLength.DAY ? 'day' : 'hour');

export const windowOf = (row: FiguresRow): Window => ({
  merchant: row.merchant,
  currency: row.currency,
  length: row.length === 'day' ? WindowLength.DAY : WindowLength.HOUR,
  start: row.start,
  orders: row.orders,
  orderLines: row.order_lines,
  returns: row.returns,
  returnLines: row.return_lines,
  stockAdjustments: row.stock_adjustments,
  stockAdjustmentLines: row.stock_adjustment_lines,
  salesMinor: row.sales_minor,
  refundsMinor: row.refunds_minor,
  unitsSold: row.units_sold,
  unitsReturned: row.units_returned,
  earnedMinor: row.earned_minor,
  rebatedLines: row.rebated_lines,
  clawedMinor: row.clawed_minor,
  orphanLines: row.orphan_lines,
  orphanUnits: row.orphan_units,
});

export function figuresQueries(context: ApiContext, freshness: Freshness, watches: Watches): BoundService {
  const { reader, rpc, tokens } = context;

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
        read: { positionToken: tokens.encode(listed.through) },
      };
    }),

    watchWindows: watches.windows,

    getLeaderboard: rpc.unary(methods.getLeaderboard, async (request, call) => {
      const { board, merchant, month, limit, consistency } = request;
      await freshness.fresh(leaderboard.name, consistency, call);
      const { rows, through } = await reader.list(leaderboard, {
        filter: { board: boardToJSON(board), merchant, month },
        limit: limit === 0 ? places : limit,
        orderBy: [{ column: 'score', descending: true }, { column: 'subject' }, { column: 'currency' }],
      });
      return {
        rows: rows.map(({ subject, currency, score }, index) => ({
          rank: index + 1,
          subject,
          currency,
          score,
        })),
        read: { positionToken: tokens.encode(through) },
      };
    }),
  });
}
