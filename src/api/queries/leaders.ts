/** Which rows lead, and in what order: for the query and for the watch. */
import { type Board, boardToJSON } from '../../gen/tallyback/figures/v1/figures_query_service.ts';
import type { leaderboard } from '../../projections/leaderboard/leaderboard.ts';
import type { ListOptions } from '../../projections/engine/reading.ts';

const defaultPlaces = 10;

export interface LeadersRequest {
  readonly board: Board;
  readonly merchant: string;
  readonly month: string;
  /** 0: the default. */
  readonly limit: number;
}

export const placesOf = ({ limit }: LeadersRequest): number => (limit === 0 ? defaultPlaces : limit);

type LeaderboardColumns = (typeof leaderboard)['table']['columns'];

export const leadersOf = (request: LeadersRequest) =>
  ({
    // The merchant first: by its first column a filter is found among many.
    filter: { merchant: request.merchant, month: request.month, board: boardToJSON(request.board) },
    limit: placesOf(request),
    orderBy: [{ column: 'score', descending: true }, { column: 'subject' }, { column: 'currency' }],
  }) as const satisfies ListOptions<LeaderboardColumns>;
