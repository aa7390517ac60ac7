/** Balances and statements. */
import { status } from '@grpc/grpc-js';
import {
  AccountQueryServiceService as methods,
  ListBalancesRequest,
  ListStatementRequest,
  type StatementEntry,
} from '../../gen/tallyback/account/v1/account_query_service.ts';
import { balance } from '../../projections/balance/balance.ts';
import { statement, type StatementRow } from '../../projections/statement/statement.ts';
import type { ApiContext } from '../context.ts';
import { ApiError, resourceInfo } from '../errors.ts';
import { bindService, type BoundService } from '../handler.ts';
import { balanceOf } from '../row-messages.ts';
import type { Watches } from '../watch/watches.ts';
import type { Freshness } from './consistency.ts';
import { listPage } from './page.ts';

const entryOf = (row: StatementRow): StatementEntry => ({
  revision: row.revision,
  occurredAt: row.occurred_at,
  kind: row.kind,
  reference: row.reference,
  merchant: row.merchant,
  amountMinor: row.amount_minor,
  pendingAfterMinor: row.pending_after_minor,
  availableAfterMinor: row.available_after_minor,
  reservedAfterMinor: row.reserved_after_minor,
  paidAfterMinor: row.paid_after_minor,
  debtAfterMinor: row.debt_after_minor,
});

export function accountQueries(context: ApiContext, freshness: Freshness, watches: Watches): BoundService {
  const { reader, rpc } = context;
  const parts = { reader, freshness };

  return bindService(methods, {
    getBalance: rpc.unary(methods.getBalance, async ({ member, currency, consistency }, call) => {
      const { row, served } = await freshness.answer(balance, consistency, call, () =>
        reader.get(balance, [member, currency]),
      );
      if (!row) {
        throw new ApiError(
          status.NOT_FOUND,
          'ACCOUNT_NOT_FOUND',
          'the member has no account in that currency',
          {
            details: [resourceInfo('tallyback.account.v1.Balance', `${member}/${currency}`)],
            position: served.positionToken,
          },
        );
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
        read: listed.served,
      };
    }),

    watchBalances: watches.balances,
  });
}
