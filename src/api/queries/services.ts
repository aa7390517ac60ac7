/** The query services, with their watches. */
import type { ApiContext } from '../context.ts';
import type { BoundService } from '../handler.ts';
import { openWatches } from '../watch/watches.ts';
import { accountQueries } from './account.ts';
import { freshness } from './consistency.ts';
import { figuresQueries } from './figures.ts';
import { itemQueries } from './item.ts';
import { orderQueries } from './order.ts';
import { programmeQueries } from './programme.ts';
import { systemService } from './system.ts';

export function queryServices(context: ApiContext): readonly BoundService[] {
  const fresh = freshness(context);
  const watches = openWatches(context, fresh);
  return [
    accountQueries(context, fresh, watches),
    itemQueries(context, fresh, watches),
    orderQueries(context, fresh, watches),
    figuresQueries(context, fresh, watches),
    programmeQueries(context, fresh),
    systemService(context, fresh),
  ];
}
