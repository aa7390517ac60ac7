/** Watches of leaderboards: the change feed tells when a board was touched, then the query is asked again. */
import { comparePositions, type Position } from '../../../eventstore/port.ts';
import {
  FiguresQueryServiceService as methods,
  WatchLeaderboardRequest,
} from '../../../gen/tallyback/figures/v1/figures_query_service.ts';
import { checkpointName } from '../../../projections/engine/storage.ts';
import { leaderboard } from '../../../projections/leaderboard/leaderboard.ts';
import type { ApiContext } from '../../context.ts';
import type { Freshness } from '../../queries/consistency.ts';
import { leadersOf, placesOf } from '../../queries/leaders.ts';
import { placeOf } from '../../row-messages.ts';
import { ChangeEncoder } from '../change-encoder.ts';
import { ChangeFeed } from '../change-feed.ts';
import { WatchCounts } from '../counts.ts';
import type { Places } from '../places.ts';
import { Ranking, SharedRanking } from './ranking.ts';
import { type Moment, resumeTokens, scopeOf } from '../resume-token.ts';
import { readSettings } from '../settings.ts';
import { Stamps } from '../stamps.ts';
import { type WatchMethod, watchMethod } from '../watch-method.ts';
import {
  type Changes,
  OtherIncarnation,
  type SnapshotPage,
  type SubscribeOptions,
  type Subscription,
  type Watched,
} from '../watched.ts';

const touched = new Uint8Array();

export function leaderboardWatch(context: ApiContext, freshness: Freshness, places: Places): WatchMethod {
  const { reader, progress, limits } = context;
  const counts = new WatchCounts();
  // What changed is of no interest, only that something did.
  const encoder = new ChangeEncoder<typeof leaderboard.table.columns>({ encode: () => touched });
  const feed = new ChangeFeed(leaderboard, encoder, { ...context, counts, lagMs: limits.lagMs });
  const name = checkpointName(leaderboard);
  const feedTokens = resumeTokens(context.seal, name);
  const stamps = new Stamps({ ...context, resumeTokens: feedTokens });
  const parts = { ...context, counts, stamps, places };
  /** By scope, and how many watch it. */
  const shared = new Map<string, { readonly ranking: SharedRanking; watches: number }>();

  /** The answers that all have in common who watch the same, until `leave`. */
  function join(scope: string, query: () => Promise<Ranking>): { ranking: SharedRanking; leave: () => void } {
    const one = shared.get(scope) ?? { ranking: new SharedRanking(query), watches: 0 };
    shared.set(scope, one);
    one.watches++;
    const leave = (): void => {
      one.watches--;
      if (one.watches === 0) shared.delete(scope);
    };
    return { ranking: one.ranking, leave };
  }

  return watchMethod(context.rpc, methods.watchLeaderboard, parts, async (request, viewer) => {
    const named = { ...request, limit: placesOf(request), consistency: undefined, options: undefined };
    const scope = scopeOf(leaderboard.name, WatchLeaderboardRequest.encode(named).finish());
    const settings = await readSettings(context, request.options, feedTokens, scope);
    await freshness.fresh(leaderboard, request.consistency, viewer);
    const leaders = leadersOf(request);
    const query = async (): Promise<Ranking> => {
      const { rows, through: position, incarnation } = await reader.list(leaderboard, leaders);
      return new Ranking(rows.map(placeOf), { position, incarnation });
    };
    const { ranking, leave } = join(scope, query);
    const watched = watchedRanking({
      ranking,
      subscribe: (options) => feed.subscribe({ ...options, filter: leaders.filter, sees: () => true, scope }),
      through: () => progress.through(name),
    });
    return { watched: { ...watched, end: leave }, scope, settings };
  });
}

interface RankingParts {
  readonly ranking: SharedRanking;
  /** To changes of the rows that may lead. */
  readonly subscribe: (options: SubscribeOptions) => Subscription;
  /** How far the read model is. */
  readonly through: () => Promise<Position>;
}

const momentOf = ({ through, incarnation }: Ranking): Moment => ({ position: through, incarnation });

const later = (a: Position, b: Position): Position => (comparePositions(a, b) > 0 ? a : b);

async function* onePage({ rows, events }: Ranking): AsyncGenerator<SnapshotPage> {
  yield { rowCount: rows.length, events };
}

/** For one client: `sent` is the answer that it has. */
function watchedRanking({ ranking, subscribe, through }: RankingParts): Watched {
  let sent: Ranking | undefined;

  return {
    async begin({ resumeFrom, changesOnly }) {
      if (resumeFrom || !changesOnly) return undefined;
      sent = await ranking.fresh();
      return momentOf(sent);
    },
    async snapshot() {
      sent = await ranking.fresh();
      return { ...momentOf(sent), through: sent.through, pages: onePage(sent) };
    },
    subscribe(options) {
      const { incarnation } = options.from;
      let changes = subscribe(options);

      async function take(): Promise<Changes> {
        const taken = await changes.take();
        if (!sent) throw new Error('a ranking is followed from an answer');
        if (taken.events.length === 0) {
          return taken.through ? { ...taken, through: later(taken.through, sent.through) } : taken;
        }
        const position = taken.through ?? (await through());
        const now = await ranking.atLeast({ position, incarnation });
        if (now.incarnation !== incarnation) throw new OtherIncarnation(leaderboard.name);
        const events = now.since(sent);
        sent = now;
        if (taken.more) {
          // The rest of a flood is in the answer already: go on behind it.
          changes.end();
          changes = subscribe({ ...options, from: momentOf(now) });
        }
        return { events, through: now.through };
      }

      return {
        take,
        poke: (ms) => changes.poke(ms),
        get behindFor() {
          return changes.behindFor;
        },
        end: () => changes.end(),
      };
    },
  };
}
