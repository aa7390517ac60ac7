/** What purchases earn. */
import {
  ListRuleSetsRequest,
  ProgrammeQueryServiceService as methods,
  type PublishedRuleSet,
} from '../../gen/tallyback/programme/v1/programme_query_service.ts';
import { releaseOnFromJSON, Rule } from '../../gen/tallyback/programme/v1/programme_command_service.ts';
import { programme, type ProgrammeRow } from '../../projections/programme/programme.ts';
import type { ApiContext } from '../context.ts';
import { bindService, type BoundService } from '../handler.ts';
import type { Freshness } from './consistency.ts';
import { listPage } from './page.ts';

function rulesOf(text: string): Rule[] {
  const rules: unknown = JSON.parse(text);
  return Array.isArray(rules) ? rules.map((rule) => Rule.fromJSON(rule)) : [];
}

const ruleSetOf = (row: ProgrammeRow): PublishedRuleSet => ({
  merchant: row.merchant,
  version: row.version,
  ruleSet: {
    validFrom: row.valid_from,
    validUntil: row.valid_until,
    priority: row.priority,
    rules: rulesOf(row.rules),
    holdDays: row.hold_days,
    releaseOn: releaseOnFromJSON(row.release_on),
  },
  publishedAt: row.published_at,
  retiredAt: row.retired_at,
});

export function programmeQueries(context: ApiContext, freshness: Freshness): BoundService {
  const { reader, rpc } = context;

  return bindService(methods, {
    listRuleSets: rpc.unary(methods.listRuleSets, async (request, call) => {
      const { page, consistency, ...filter } = request;
      const listed = await listPage(
        { reader, freshness },
        {
          model: programme,
          filter: { merchant: filter.merchant },
          scope: {
            method: methods.listRuleSets.path,
            filter: ListRuleSetsRequest.encode({
              ...filter,
              page: undefined,
              consistency: undefined,
            }).finish(),
          },
          page,
          consistency,
          toMessage: ruleSetOf,
          // Ten thousand SKUs fit in one rule. JSON is never shorter than the message.
          sizeOf: (row) => Buffer.byteLength(row.rules),
        },
        call,
      );
      return {
        ruleSets: listed.messages,
        nextPageToken: listed.nextPageToken,
        read: listed.served,
      };
    }),
  });
}
