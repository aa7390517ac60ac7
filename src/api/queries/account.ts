/** Balances and statements. */
import { status } from '@grpc/grpc-js';
import {
  AccountQueryServiceService as methods,
  ListBalancesRequest,
  ListStatementRequest,
} from '../../gen/tallyback/account/v1/account_query_service.ts';
import { balance } from '../../projections/balance/balance.ts';
import { statement } from '../../projections/statement/statement.ts';
import type { ApiContext } from '../context.ts';
import { ApiError, resourceInfo } from '../errors.ts';
import { bindService, type BoundService } from '../handler.ts';
import { balanceOf, entryOf } from '../row-messages.ts';
import type { Watches } from '../watch/watches.ts';
import type { Freshness } from './consistency.ts';
import { listPage } from './page.ts';

export function accountQueries(context: ApiContext, freshness: Freshness, watches: Watches): BoundService {
  const { reader, rpc, tokens } = context;
  const parts = { reader, freshness };

  return bindService(methods, {
    getBalance: rpc.unary(methods.getBalance, async ({ member, currency, consistency }, call) => {
      await freshness.fresh(balance, consistency, call);
      const { row, through } = await reader.get(balance, [member, currency]);
      if (!row) {
        throw new ApiError(
          status.NOT_FOUND,
          'ACCOUNT_NOT_FOUND',
          'the member has no account in that currency',
          {
            details: [resourceInfo('tallyback.account.v1.Balance', `${member}/${currency}`)],
            position: tokens.encode(through),
          },
        );
      }
      return { balance: balanceOf(row), read: { positionToken: tokens.encode(through) } };
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
        read: { positionToken: tokens.encode(listed.through) },
      };
    }),

    listStatement: rpc.unary(methods.listStatement, async (request, call) => {
      const { page, consistency, ...filter } = request;
      const listed = await listPage(
        parts,
        {
          model: statement,
          filter: { member: filter.member, currency: filter.currency },
          scope: {
            method: methods.listStatement.path,
            filter: ListStatementRequest.encode({
              ...filter,
              page: undefined,
              consistency: undefined,
            }).finish(),
          },
          page,
          consistency,
          toMessage: entryOf,
        },
        call,
      );
      return {
        entries: listed.messages,
        nextPageToken: listed.nextPageToken,
        read: { positionToken: tokens.encode(listed.through) },
      };
    }),

    watchBalances: watches.balances,
    watchStatement: watches.statement,
  });
}
