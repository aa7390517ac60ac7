/** Balances and statements. */
import { status } from '@grpc/grpc-js';
import {
  AccountQueryServiceService as methods,
  ExplainRebateResponse,
  ListBalancesRequest,
  ListStatementRequest,
} from '../../gen/tallyback/account/v1/account_query_service.ts';
import type { ReadInfo } from '../../gen/tallyback/common/v1/consistency.ts';
import { balance } from '../../projections/balance/balance.ts';
import { statement } from '../../projections/statement/statement.ts';
import type { ApiContext } from '../context.ts';
import { ApiError, resourceInfo } from '../errors.ts';
import { bindService, type BoundService } from '../handler.ts';
import { balanceOf, entryOf } from '../row-messages.ts';
import type { Watches } from '../watch/watches.ts';
import { pointInTime, readAsOf } from './as-of.ts';
import { balanceAsOf } from './balance-as-of.ts';
import type { Freshness } from './consistency.ts';
import { explainRebate } from './explain-rebate.ts';
import { LogReads } from './log-reads.ts';
import { listPage } from './page.ts';
import { explanationOf } from './rebate-messages.ts';
import { statementAsOf } from './statement-as-of.ts';

/** An explanation cannot be cut: it would not add up. */
function fitting(response: ExplainRebateResponse, most: number): ExplainRebateResponse {
  const { length } = ExplainRebateResponse.encode(response).finish();
  if (length <= most) return response;
  throw new ApiError(
    status.RESOURCE_EXHAUSTED,
    'EXPLANATION_TOO_LARGE',
    `the explanation takes ${length} bytes, and a response has ${most}`,
  );
}

const accountNotFound = (member: string, currency: string, message: string, read: ReadInfo): ApiError =>
  new ApiError(status.NOT_FOUND, 'ACCOUNT_NOT_FOUND', message, {
    details: [resourceInfo('tallyback.account.v1.Balance', `${member}/${currency}`)],
    position: read.positionToken,
  });

export function accountQueries(context: ApiContext, freshness: Freshness, watches: Watches): BoundService {
  const { reader, rpc, tokens } = context;
  const parts = { reader, freshness };
  const reads = new LogReads(context.streams);

  return bindService(methods, {
    getBalance: rpc.unary(methods.getBalance, async (request, call) => {
      const { member, currency, consistency, asOf } = request;
      if (asOf) {
        const point = await pointInTime(context, asOf, consistency);
        const { row, lateEvents, dueMinor } = await call.ending.during((signal) =>
          balanceAsOf(reads, request, point, signal),
        );
        const read = readAsOf(tokens.encode(point.through), call);
        if (!row) throw accountNotFound(member, currency, 'the member had no account then', read);
        return {
          balance: balanceOf(row),
          read,
          businessTime: point.until && { lateEvents: BigInt(lateEvents), dueMinor },
        };
      }
      const { row, served } = await freshness.answer(balance, consistency, call, () =>
        reader.get(balance, [member, currency]),
      );
      if (!row) {
        throw accountNotFound(member, currency, 'the member has no account in that currency', served);
      }
      return { balance: balanceOf(row), read: served };
    }),

    listBalances: rpc.unary(methods.listBalances, async (request, call) => {
      const { page, consistency, ...filter } = request;
      const listed = await listPage(
        parts,
        {
          model: balance,
          filter: {},
          scope: {
            method: methods.listBalances.path,
            filter: ListBalancesRequest.encode({
              ...filter,
              page: undefined,
              consistency: undefined,
            }).finish(),
          },
          page,
          consistency,
          toMessage: balanceOf,
        },
        call,
      );
      return {
        balances: listed.messages,
        nextPageToken: listed.nextPageToken,
        read: listed.served,
      };
    }),

    listStatement: rpc.unary(methods.listStatement, async (request, call) => {
      const { page, consistency, ...filter } = request;
      const scope = {
        method: methods.listStatement.path,
        filter: ListStatementRequest.encode({ ...filter, page: undefined, consistency: undefined }).finish(),
      };
      if (filter.asOf) {
        const point = await pointInTime(context, filter.asOf, consistency);
        const { rows, nextPageToken } = await call.ending.during((signal) =>
          statementAsOf(reads, filter, point, scope, page, signal),
        );
        return {
          entries: rows.map(entryOf),
          nextPageToken,
          read: readAsOf(tokens.encode(point.through), call),
        };
      }
      const listed = await listPage(
        parts,
        {
          model: statement,
          filter: { member: filter.member, currency: filter.currency },
          scope,
          page,
          consistency,
          toMessage: entryOf,
        },
        call,
      );
      return {
        entries: listed.messages,
        nextPageToken: listed.nextPageToken,
        read: listed.served,
      };
    }),

    explainRebate: rpc.unary(methods.explainRebate, async (request, call) => {
      const through = await context.head();
      const rebate = await call.ending.during((signal) => explainRebate(reads, request, through, signal));
      const read = readAsOf(tokens.encode(through), call);
      if (!rebate) {
        throw new ApiError(status.NOT_FOUND, 'REBATE_NOT_FOUND', 'the account has no rebate for that order', {
          details: [resourceInfo('tallyback.account.v1.RebateExplanation', request.entryId)],
          position: read.positionToken,
        });
      }
      const explanation = explanationOf(request.entryId, rebate);
      return fitting({ explanation, read }, context.limits.maxSendBytes);
    }),

    watchBalances: watches.balances,
    watchStatement: watches.statement,
  });
}
