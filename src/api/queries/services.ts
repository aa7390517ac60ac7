/** The query services, with their watches. */
import { EventFeedServiceService as feedMethods } from '../../gen/tallyback/feed/v1/event_feed_service.ts';
import type { ApiContext } from '../context.ts';
import { bindService, type BoundService } from '../handler.ts';
import type { Watches } from '../watch/watches.ts';
import { accountQueries } from './account.ts';
import type { Freshness } from './consistency.ts';
import { figuresQueries } from './figures.ts';
import { itemQueries } from './item.ts';
import { orderQueries } from './order.ts';
import { programmeQueries } from './programme.ts';
import { systemService } from './system.ts';

export function queryServices(
  context: ApiContext,
  fresh: Freshness,
  watches: Watches,
): readonly BoundService[] {
  return [
    accountQueries(context, fresh, watches),
    itemQueries(context, fresh, watches),
    orderQueries(context, fresh, watches),
    figuresQueries(context, fresh, watches),
    programmeQueries(context, fresh),
    systemService(context, fresh),
    bindService(feedMethods, { watchEvents: watches.events }),
  ];
}
