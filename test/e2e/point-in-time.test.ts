/** Real servers on every kind of log: what was answered once is answered again, as of then, and is explained. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  AdjustBalanceRequest,
  RequestWithdrawalRequest,
} from '../../src/gen/tallyback/account/v1/account_command_service.ts';
import {
  type Balance,
  ExplainRebateRequest,
  GetBalanceRequest,
  ListStatementRequest,
} from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import type { CommandReceipt } from '../../src/gen/tallyback/common/v1/command.ts';
import { ReadConsistency } from '../../src/gen/tallyback/common/v1/consistency.ts';
import {
  DeclineOrderRequest,
  ReturnLinesRequest,
  TrackOrderRequest,
} from '../../src/gen/tallyback/order/v1/order_command_service.ts';
import {
  PublishRuleSetRequest,
  ReleaseOn,
} from '../../src/gen/tallyback/programme/v1/programme_command_service.ts';
import { unary } from '../../src/main/client/unary.ts';
import { type ServedStore, servedStores } from '../support/served-stores.ts';
import { inFolders, serve, type Server, signal } from './support/operated.ts';

const member = 'ann';
const currency = 'GBP';
const at = (n: number): Date => new Date(Date.UTC(2026, 0, 1 + n));

inFolders();

const settled = (receipt: { readonly positionToken: string } | undefined): ReadConsistency =>
  ReadConsistency.fromPartial({
    atLeast: receipt?.positionToken ?? '',
    includingEffects: true,
    maxWait: { seconds: 30n, nanos: 0 },
  });

describe.each(servedStores)('on $name', ({ start }) => {
  let store: ServedStore;
  beforeAll(async () => {
    store = await start();
  });
  afterAll(() => store.stop());

  const balanceOf = ({ connection: { accounts } }: Server, over: Partial<GetBalanceRequest>) =>
    unary(accounts, accounts.getBalance, GetBalanceRequest.fromPartial({ member, currency, ...over }), {
      signal,
    });

  const statementOf = ({ connection: { accounts } }: Server, over: Partial<ListStatementRequest>) =>
    unary(
      accounts,
      accounts.listStatement,
      ListStatementRequest.fromPartial({ member, currency, page: { pageSize: 1_000 }, ...over }),
      { signal },
    );

  test('every balance that was shown is shown again as of its token, and the rebate is explained', async () => {
    const one = await serve(store.env);
    const { orderCommands, programmeCommands, accountCommands } = one.connection;
    const requestId = (): string => randomUUID();
    const order = { source: 'web', externalId: 'A1', merchant: 'shop', member, currency };
    const line = { lineNo: 1, sku: 'mug', category: 'mugs', unitPrice: '2.55' };
    const acts: readonly (() => Promise<{ readonly receipt: CommandReceipt | undefined }>)[] = [
      () =>
        unary(
          programmeCommands,
          programmeCommands.publishRuleSet,
          PublishRuleSetRequest.fromPartial({
            requestId: requestId(),
            merchant: 'shop',
            ruleSet: {
              validFrom: at(0),
              rules: [{ ruleId: 'mugs', categories: ['mugs'], rateBps: 333 }],
              holdDays: 30,
              releaseOn: ReleaseOn.TRACKED,
            },
          }),
          { signal },
        ),
      () =>
        unary(
          orderCommands,
          orderCommands.trackOrder,
          TrackOrderRequest.fromPartial({
            requestId: requestId(),
            ...order,
            occurredAt: at(1),
            sourceVersion: 1n,
            lines: [{ ...line, quantity: 10n }],
          }),
          { signal },
        ),
      () =>
        unary(
          orderCommands,
          orderCommands.returnLines,
          ReturnLinesRequest.fromPartial({
            requestId: requestId(),
            source: 'web',
            externalId: 'A1',
            occurredAt: at(2),
            returnId: 'R1',
            lines: [{ lineNo: 1, quantity: 3n }],
          }),
          { signal },
        ),
      () =>
        unary(
          accountCommands,
          accountCommands.requestWithdrawal,
          RequestWithdrawalRequest.fromPartial({
            requestId: requestId(),
            member,
            currency,
            occurredAt: at(40),
            withdrawalId: 'w1',
          }),
          { signal },
        ),
      () =>
        unary(
          orderCommands,
          orderCommands.declineOrder,
          DeclineOrderRequest.fromPartial({
            requestId: requestId(),
            source: 'web',
            externalId: 'A1',
            occurredAt: at(41),
            sourceVersion: 2n,
            reason: 'fraud',
          }),
          { signal },
        ),
    ];
    const shown: { readonly balance: Balance | undefined; readonly positionToken: string }[] = [];
    for (const [n, act] of acts.entries()) {
      const { receipt } = await act();
      if (n === 0) continue;
      const { balance, read } = await balanceOf(one, { consistency: settled(receipt) });
      shown.push({ balance, positionToken: read?.positionToken ?? '' });
    }
    expect(
      shown.map(({ balance }) => [balance?.pendingMinor, balance?.reservedMinor, balance?.debtMinor]),
    ).toEqual([
      [84n, 0n, 0n],
      [59n, 0n, 0n],
      [0n, 59n, 0n],
      [0n, 59n, 59n],
    ]);
    const { entries } = await statementOf(one, {
      consistency: ReadConsistency.fromPartial({ latest: true }),
    });
    await one.end('SIGKILL');

    const two = await serve(store.env);
    for (const { balance, positionToken } of shown) {
      expect(await balanceOf(two, { asOf: { positionToken } })).toEqual({
        balance,
        read: { positionToken, stale: false, lagEvents: 0n },
        businessTime: undefined,
      });
      const then = await statementOf(two, { asOf: { positionToken } });
      expect(then.entries).toEqual(entries.filter(({ revision }) => revision <= (balance?.revision ?? -1n)));
    }
    expect(await balanceOf(two, { asOf: { positionToken: '', businessTime: at(39) } })).toMatchObject({
      balance: shown[1]?.balance,
      businessTime: { lateEvents: 0n, dueMinor: 59n },
    });

    const { accounts } = two.connection;
    const { explanation } = await unary(
      accounts,
      accounts.explainRebate,
      ExplainRebateRequest.fromPartial({ member, currency, entryId: entries[0]?.reference ?? '' }),
      { signal },
    );
    expect(explanation).toMatchObject({
      declined: true,
      accruedMinor: 84n,
      reversedMinor: 84n,
      rules: [{ ruleSetVersion: 1, ruleId: 'mugs', rateBps: 333 }],
      lines: [
        {
          category: 'mugs',
          arithmetic: { quantity: 7n, amountMinor: 1_785n, earnsMinor: 59n, rebateMinor: 0n },
        },
      ],
    });
    expect(
      explanation?.steps.map((step) => [step.returnId, step.reason, step.earnedMinor, step.releasedMinor]),
    ).toEqual([
      ['', '', 84n, 0n],
      ['R1', '', -25n, 0n],
      ['', '', 0n, 59n],
      ['', 'fraud', -59n, -59n],
    ]);
  });

  test('an account of many events is right at every one that is asked for', async () => {
    const one = await serve(store.env);
    const { accountCommands, accounts } = one.connection;
    const many = { member: 'bob', currency };
    const length = 1_500;
    const tokens = await Promise.all(
      Array.from({ length }, async (_, n) => {
        const { receipt } = await unary(
          accountCommands,
          accountCommands.adjustBalance,
          AdjustBalanceRequest.fromPartial({
            requestId: randomUUID(),
            ...many,
            occurredAt: at(n % 50),
            adjustmentId: `a${n}`,
            amountMinor: 1n,
            reason: 'test',
            requestedBy: 'ann',
            approvedBy: 'cid',
          }),
          { signal },
        );
        return receipt;
      }),
    );
    for (const receipt of tokens.filter((_, n) => n % 250 === 0 || n === length - 1)) {
      const asOf = { positionToken: receipt?.positionToken ?? '' };
      const { balance } = await unary(
        accounts,
        accounts.getBalance,
        GetBalanceRequest.fromPartial({ ...many, asOf }),
        {
          signal,
        },
      );
      // Commands that were stored together share a token.
      expect(balance?.revision).toBeGreaterThanOrEqual(receipt?.revision ?? 0n);
      expect(balance?.availableMinor).toBe((balance?.revision ?? 0n) + 1n);
    }
    // Every fifty days the times begin anew: what had happened by day 9 is a fifth.
    const asOf = { positionToken: '', businessTime: at(9) };
    const { balance } = await unary(
      accounts,
      accounts.getBalance,
      GetBalanceRequest.fromPartial({ ...many, asOf }),
      {
        signal,
      },
    );
    expect(balance?.availableMinor).toBe(BigInt(length / 5));
    const seen: bigint[] = [];
    let pageToken = '';
    do {
      const request = ListStatementRequest.fromPartial({ ...many, asOf, page: { pageSize: 70, pageToken } });
      const answer = await unary(accounts, accounts.listStatement, request, { signal });
      seen.push(...answer.entries.map(({ revision }) => revision));
      pageToken = answer.nextPageToken;
    } while (pageToken !== '');
    expect(seen).toHaveLength(length / 5);
    expect(seen).toEqual(seen.toSorted((a, b) => Number(a - b)));
  });
});
