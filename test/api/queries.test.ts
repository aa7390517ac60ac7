import type { Metadata } from '@grpc/grpc-js';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { positionTrailer } from '../../src/api/errors.ts';
import { positionTokens } from '../../src/application/position-token.ts';
import { EventStoreUnavailable, type Position } from '../../src/eventstore/port.ts';
import { OnTimeout, ReadConsistency } from '../../src/gen/tallyback/common/v1/consistency.ts';
import { Board, WindowLength } from '../../src/gen/tallyback/figures/v1/figures_query_service.ts';
import { DocumentKind, OrderStatus } from '../../src/gen/tallyback/order/v1/order_query_service.ts';
import { ReleaseOn } from '../../src/gen/tallyback/programme/v1/programme_command_service.ts';
import {
  balance,
  figures,
  leaderboard,
  orders,
  programme,
  readModels,
  statement,
  stock,
} from '../../src/projections/index.ts';
import { figuresRow, orderRow, stockRow } from './support/rows.ts';
import { balanceRow, noon } from './support/requests.ts';
import { answered, ask, refusedBy, startTestApi, tokens, type TestApi, until } from './support/server.ts';
import { at } from './support/tables.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.close());

const outageCodes =
  'ECONNREFUSED ECONNRESET 08000 08003 08006 40001 40P01 53300 57014 57P01 57P02 57P03'.split(' ');
/** What the Postgres driver says without a code. */
const outageTexts = [
  'Connection terminated',
  'Connection terminated unexpectedly',
  'Connection terminated due to connection timeout',
  'Query read timeout',
  'timeout exceeded when trying to connect',
  'timeout expired',
  'Client has encountered a connection error and is not queryable',
  'connect ECONNREFUSED 127.0.0.1:5432',
  'read ECONNRESET',
];

const tokenIn = (trailers: Metadata) => tokens.decode(String(trailers.get(positionTrailer)[0]));

const members = Array.from({ length: 25 }, (_, n) => `m${String(n).padStart(2, '0')}`);
const page = (pageSize: number, pageToken = '') => ({ pageSize, pageToken });

beforeEach(() => {
  api.state.head = at(100);
  api.state.headFailure = undefined;
  api.tables.failure = undefined;
  for (const { name } of readModels) api.tables.advance(`projection:${name}`, at(50));
  api.tables.advance('policy:order-rebate', at(50));
  api.tables.commit(
    balance,
    at(50),
    members.map((member) => balanceRow(member)),
  );
});

describe('rows', () => {
  test('become messages', async () => {
    api.tables.commit(orders, at(50), [orderRow('o1')]);
    api.tables.commit(stock, at(50), [stockRow('mug', 7n)]);
    api.tables.commit(figures, at(50), [figuresRow(noon)]);
    api.tables.commit(statement, at(50), [
      {
        member: 'm00',
        currency: 'EUR',
        revision: 3n,
        occurred_at: noon,
        kind: 'RebateAccrued',
        reference: 'shop~o1',
        merchant: 'shop',
        amount_minor: 9_007_199_254_740_993n,
        pending_after_minor: 1n,
        available_after_minor: 2n,
        reserved_after_minor: 3n,
        paid_after_minor: 4n,
        debt_after_minor: 5n,
      },
    ]);
    api.tables.commit(programme, at(50), [
      {
        merchant: 'shop',
        version: 1,
        valid_from: noon,
        valid_until: undefined,
        priority: 0,
        rules: '[{"ruleId":"all","rateBps":500}]',
        hold_days: 30,
        release_on: 'RELEASE_ON_SETTLED',
        published_at: noon,
        retired_at: undefined,
      },
    ]);
    api.tables.commit(
      leaderboard,
      at(50),
      (
        [
          ['ann', 5n],
          ['bob', 9n],
          ['cy', 5n],
        ] as const
      ).map(([subject, score]) => ({
        board: 'BOARD_MEMBERS_BY_REBATE',
        merchant: 'shop',
        month: '',
        subject,
        currency: 'EUR',
        score,
      })),
    );

    const found = await answered(api.accountQuery, api.accountQuery.getBalance, {
      member: 'm00',
      currency: 'EUR',
      consistency: undefined,
    });
    expect(found.balance).toMatchObject({ member: 'm00', availableMinor: 100n, changedAt: noon });
    expect(tokens.decode(found.read?.positionToken ?? '')).toEqual(at(50));
    expect(found.read).toMatchObject({ stale: false, lagEvents: -1n });

    const order = await answered(api.orderQuery, api.orderQuery.getOrder, {
      source: 'shop',
      externalId: 'o1',
      consistency: undefined,
    });
    expect(order.order).toMatchObject({
      kind: DocumentKind.ORDER,
      status: OrderStatus.CONFIRMED,
      lines: [{ lineNo: 1, sku: 'mug', quantity: 2n, unitPrice: '2.55', amountMinor: 510n, service: false }],
      timeline: [{ event: 'OrderTracked', detail: 'version 1' }],
    });
    const listed = await answered(api.orderQuery, api.orderQuery.listOrders, {
      source: '',
      merchant: '',
      member: 'ann',
      page: undefined,
      consistency: undefined,
    });
    expect(listed.orders).toMatchObject([{ externalId: 'o1', lines: [], timeline: [], lineCount: 1n }]);

    const item = await answered(api.itemQuery, api.itemQuery.getStock, {
      merchant: 'shop',
      sku: 'mug',
      consistency: undefined,
    });
    expect(item.stock).toMatchObject({ onHand: 7n, revision: 1n });

    const windows = (from: Date | undefined, until_: Date | undefined) =>
      answered(api.figuresQuery, api.figuresQuery.listWindows, {
        merchant: 'shop',
        length: WindowLength.DAY,
        from,
        until: until_,
        page: undefined,
        consistency: undefined,
      });
    expect((await windows(noon, undefined)).windows).toMatchObject([
      { length: WindowLength.DAY, start: noon, salesMinor: 12n },
    ]);
    expect((await windows(undefined, noon)).windows).toEqual([]);

    const entries = await answered(api.accountQuery, api.accountQuery.listStatement, {
      member: 'm00',
      currency: 'EUR',
      page: undefined,
      consistency: undefined,
    });
    expect(entries.entries).toMatchObject([{ revision: 3n, amountMinor: 9_007_199_254_740_993n }]);

    const rules = await answered(api.programmeQuery, api.programmeQuery.listRuleSets, {
      merchant: 'shop',
      page: undefined,
      consistency: undefined,
    });
    expect(rules.ruleSets).toMatchObject([
      {
        version: 1,
        ruleSet: { releaseOn: ReleaseOn.SETTLED, holdDays: 30, rules: [{ ruleId: 'all', rateBps: 500 }] },
      },
    ]);

    const board = await answered(api.figuresQuery, api.figuresQuery.getLeaderboard, {
      board: Board.MEMBERS_BY_REBATE,
      merchant: 'shop',
      month: '',
      limit: 0,
      consistency: undefined,
    });
    expect(board.rows.map(({ rank, subject }) => [rank, subject])).toEqual([
      [1, 'bob'],
      [2, 'ann'],
      [3, 'cy'],
    ]);
  });

  test('that are not there are NOT_FOUND', async () => {
    const query = { member: 'nobody', currency: 'EUR', consistency: undefined };
    expect(await refusedBy(api.accountQuery, api.accountQuery.getBalance, query)).toMatchObject({
      code: 'NOT_FOUND',
      reason: 'ACCOUNT_NOT_FOUND',
      types: ['ErrorInfo', 'ResourceInfo'],
    });
    expect(
      await refusedBy(api.itemQuery, api.itemQuery.getStock, {
        merchant: 'shop',
        sku: 'no',
        consistency: undefined,
      }),
    ).toMatchObject({ reason: 'ITEM_NOT_FOUND' });
    expect(
      await refusedBy(api.orderQuery, api.orderQuery.getOrder, {
        source: 'shop',
        externalId: 'no',
        consistency: undefined,
      }),
    ).toMatchObject({ reason: 'ORDER_NOT_FOUND' });
  });

  test('that the database cannot give now are UNAVAILABLE, and a broken query is INTERNAL', async () => {
    const query = { member: 'm00', currency: 'EUR', consistency: undefined };
    const refusal = (message: string, code?: string) => {
      api.tables.failure = Object.assign(new Error(message), code === undefined ? {} : { code });
      return refusedBy(api.accountQuery, api.accountQuery.getBalance, query);
    };
    const unavailable = { code: 'UNAVAILABLE', reason: 'STORE_UNAVAILABLE', retryMs: 1_000 };
    for (const code of outageCodes) expect(await refusal('no', code), code).toMatchObject(unavailable);
    for (const text of outageTexts) expect(await refusal(text), text).toMatchObject(unavailable);
    for (const code of [undefined, '42601', '22P02', '23505', 'ERR_INVALID_ARG_TYPE']) {
      const failure = await refusal('syntax error at or near "secret"', code);
      expect(failure.code).toBe('INTERNAL');
      expect(failure.message).not.toContain('secret');
    }
  });
});

describe('pages', () => {
  const list = (size: number, token = '') =>
    answered(api.accountQuery, api.accountQuery.listBalances, {
      page: page(size, token),
      consistency: undefined,
    });

  test('follow one another to the end', async () => {
    const seen: string[] = [];
    let token = '';
    do {
      const answer = await list(10, token);
      seen.push(...answer.balances.map(({ member }) => member));
      token = answer.nextPageToken;
    } while (token !== '');
    expect(seen).toEqual(members);
  });

  test('have 100 rows unless asked otherwise, and never more than 1,000', async () => {
    const many = Array.from({ length: 1_200 }, (_, n) => balanceRow(`x${n}`));
    api.tables.commit(balance, at(51), many);
    expect((await list(0)).balances).toHaveLength(100);
    expect((await list(5_000)).balances).toHaveLength(1_000);
    const negative = await refusedBy(api.accountQuery, api.accountQuery.listBalances, {
      page: page(-1),
      consistency: undefined,
    });
    expect(negative.fields).toEqual(['page.page_size']);
  });

  test('go on over keys of every type', async () => {
    const hours = [0, 1, 2, 3, 4].map((n) => new Date(noon.getTime() + n * 86_400_000));
    api.tables.commit(figures, at(50), hours.map(figuresRow));
    const query = (token: string) =>
      answered(api.figuresQuery, api.figuresQuery.listWindows, {
        merchant: '',
        length: WindowLength.DAY,
        from: undefined,
        until: undefined,
        page: page(2, token),
        consistency: undefined,
      });
    const first = await query('');
    const second = await query(first.nextPageToken);
    const third = await query(second.nextPageToken);
    expect([...first.windows, ...second.windows, ...third.windows].map(({ start }) => start)).toEqual(hours);
    expect(third.nextPageToken).toBe('');
  });

  test('of large rows are cut short of what clients accept, and lose nothing', async () => {
    const rules = JSON.stringify([
      {
        ruleId: 'all',
        skus: Array.from({ length: 10_000 }, (_, n) => `sku-${'x'.repeat(80)}${n}`),
        rateBps: 1,
      },
    ]);
    const versions = Array.from({ length: 9 }, (_, n) => n + 1);
    api.tables.commit(
      programme,
      at(50),
      versions.map((version) => ({
        merchant: 'big',
        version,
        valid_from: noon,
        valid_until: undefined,
        priority: 0,
        rules,
        hold_days: 1,
        release_on: 'RELEASE_ON_TRACKED',
        published_at: noon,
        retired_at: undefined,
      })),
    );
    const seen: number[] = [];
    let token = '';
    do {
      const answer = await answered(api.programmeQuery, api.programmeQuery.listRuleSets, {
        merchant: 'big',
        page: page(100, token),
        consistency: undefined,
      });
      seen.push(...answer.ruleSets.map(({ version }) => version));
      token = answer.nextPageToken;
    } while (token !== '');
    expect(seen).toEqual(versions);
  });

  test('are bound to the method and the filter', async () => {
    api.tables.commit(stock, at(50), [stockRow('a', 1n), stockRow('b', 1n), stockRow('c', 1n)]);
    const { nextPageToken } = await list(10);
    const listStock = (merchant: string, token: string) =>
      ({ merchant, page: page(1, token), consistency: undefined }) as const;
    const mine = (await answered(api.itemQuery, api.itemQuery.listStock, listStock('shop', '')))
      .nextPageToken;
    await answered(api.itemQuery, api.itemQuery.listStock, listStock('shop', mine));
    for (const [merchant, token] of [
      ['', mine],
      ['other', mine],
      ['shop', nextPageToken],
      ['shop', mine.slice(0, -2)],
      ['shop', 'AAAA'],
      ['shop', '🙈'],
    ] as const) {
      expect(
        await refusedBy(api.itemQuery, api.itemQuery.listStock, listStock(merchant, token)),
      ).toMatchObject({
        code: 'INVALID_ARGUMENT',
        reason: 'PAGE_TOKEN_INVALID',
        fields: ['page.page_token'],
      });
    }
    // Another page size is no other filter.
    expect((await list(3, nextPageToken)).balances).toHaveLength(3);
  });
});

describe('freshness', () => {
  const get = (
    atLeast: string,
    options: { effects?: boolean; latest?: boolean; stale?: boolean; waitMs?: number } = {},
  ) => ({
    member: 'm00',
    currency: 'EUR',
    consistency: ReadConsistency.fromPartial({
      atLeast,
      includingEffects: options.effects ?? false,
      latest: options.latest ?? false,
      onTimeout: options.stale ? OnTimeout.RETURN_STALE : OnTimeout.UNSPECIFIED,
      ...(options.waitMs === undefined ? {} : { maxWait: { seconds: 0n, nanos: options.waitMs * 1e6 } }),
    }),
  });
  const query = (...args: Parameters<typeof get>) =>
    answered(api.accountQuery, api.accountQuery.getBalance, get(...args));
  const refusal = (...args: Parameters<typeof get>) =>
    refusedBy(api.accountQuery, api.accountQuery.getBalance, get(...args));

  test('is there at once when the token has been seen', async () => {
    expect((await query(tokens.encode(at(50)))).balance?.member).toBe('m00');
  });

  test('is waited for', async () => {
    const asked = query(tokens.encode(at(60)));
    await until(() => api.tables.waiterCount === 1);
    api.tables.commit(balance, at(60), [balanceRow('m00', { available_minor: 7n })]);
    const { balance: found, read } = await asked;
    expect(found?.availableMinor).toBe(7n);
    expect(tokens.decode(read?.positionToken ?? '')).toEqual(at(60));
    expect(api.tables.waiterCount).toBe(0);
  });

  test('not reached in time is READ_MODEL_LAGGING, with both tokens', async () => {
    const token = tokens.encode(at(60));
    const failure = await refusal(token, { waitMs: 20 });
    expect(tokenIn(failure.trailers)).toEqual(at(50));
    expect(failure).toMatchObject({
      code: 'UNAVAILABLE',
      reason: 'READ_MODEL_LAGGING',
      metadata: { name: 'projection:balance', required: token, current: tokens.encode(at(50)) },
      retryMs: 500,
    });
    expect(api.tables.waiterCount).toBe(0);
  });

  test('is not waited for longer than the call lasts', async () => {
    // In time: else the client would say DEADLINE_EXCEEDED itself.
    const failure = await refusedBy(
      api.accountQuery,
      api.accountQuery.getBalance,
      get(tokens.encode(at(60))),
      1_500,
    );
    expect(failure).toMatchObject({ code: 'UNAVAILABLE', reason: 'READ_MODEL_LAGGING' });
  });

  test('at the latest waits for the end of the log as it was when the query came, and no further', async () => {
    const asked = query('', { latest: true });
    await until(() => api.tables.waiterCount === 1);
    api.state.head = at(200);
    api.tables.commit(balance, at(100), [balanceRow('m00', { available_minor: 8n })]);
    const { balance: found, read } = await asked;
    expect(found?.availableMinor).toBe(8n);
    expect(read).toMatchObject({ positionToken: tokens.encode(at(100)), stale: false });
    // An older token beside it is in it; one that the log does not reach is refused all the same.
    api.tables.advance('projection:balance', at(200));
    await query(tokens.encode(at(60)), { latest: true });
    expect(await refusal(tokens.encode(at(201)), { latest: true })).toMatchObject({
      reason: 'POSITION_UNKNOWN',
    });
  });

  test('at the latest waits for that also with a token that has been seen', async () => {
    const asked = query(tokens.encode(at(50)), { latest: true });
    await until(() => api.tables.waiterCount === 1);
    api.tables.commit(balance, at(100), [balanceRow('m00', { available_minor: 7n })]);
    expect((await asked).balance?.availableMinor).toBe(7n);
  });

  test('at the latest is READ_MODEL_LAGGING when that is not reached, and STORE_UNAVAILABLE when nobody knows it', async () => {
    expect(await refusal('', { latest: true, waitMs: 20 })).toMatchObject({
      reason: 'READ_MODEL_LAGGING',
      metadata: { required: tokens.encode(at(100)), current: tokens.encode(at(50)) },
    });
    api.state.headFailure = new EventStoreUnavailable('down');
    expect(await refusal('', { latest: true, waitMs: 20 })).toMatchObject({ reason: 'STORE_UNAVAILABLE' });
  });

  test('can be done without: then the answer is what is there, and says so', async () => {
    const stale = { balance: { member: 'm00' }, read: { positionToken: tokens.encode(at(50)), stale: true } };
    const wait = { stale: true, waitMs: 20 };
    expect(await query(tokens.encode(at(60)), wait)).toMatchObject(stale);
    expect(await query('', { ...wait, latest: true })).toMatchObject(stale);
    expect(await query(tokens.encode(at(60)), { ...wait, effects: true })).toMatchObject(stale);
    expect(api.tables.waiterCount).toBe(0);
    // What is there in time is not stale.
    api.tables.advance('projection:balance', at(60));
    expect((await query(tokens.encode(at(60)), wait)).read?.stale).toBe(false);
    // Tokens that are refused are refused all the same.
    expect(await refusal('x', wait)).toMatchObject({ reason: 'POSITION_TOKEN_INVALID' });
    expect(await refusal(tokens.encode(at(101)), wait)).toMatchObject({ reason: 'POSITION_UNKNOWN' });
    // And an event log that does not answer is no reason not to.
    api.state.headFailure = new EventStoreUnavailable('down');
    expect((await query('', { ...wait, latest: true })).read).toMatchObject({ stale: true, lagEvents: -1n });
  });

  test('is bounded by the event log too: one that hangs fails the query, or makes it stale', async () => {
    let heads = 0;
    const hung = await startTestApi({
      head: () => {
        heads++;
        return new Promise(() => undefined);
      },
    });
    try {
      hung.tables.commit(balance, at(50), [balanceRow('m00')]);
      const attempt = (stale: boolean) =>
        ask(hung.accountQuery, hung.accountQuery.getBalance, get('', { latest: true, waitMs: 20, stale }));
      expect(await attempt(false)).toMatchObject({ ok: false, reason: 'STORE_UNAVAILABLE' });
      expect(await attempt(true)).toMatchObject({ ok: true, response: { read: { stale: true } } });
      // Who asks for nothing of the kind gets an answer.
      expect(await ask(hung.accountQuery, hung.accountQuery.getBalance, get(''))).toMatchObject({
        ok: true,
        response: { balance: { member: 'm00' }, read: { stale: false, lagEvents: -1n } },
      });
      // And a stop does not wait for it.
      const before = heads;
      const waiting = ask(hung.accountQuery, hung.accountQuery.getBalance, get('', { latest: true }));
      await until(() => heads > before);
      await hung.server.stop(60_000);
      expect(await waiting).toMatchObject({ ok: false, reason: 'SERVER_STOPPING' });
    } finally {
      await hung.close();
    }
  });

  test('says what every answer was served at, in the trailer too', async () => {
    const [balanceQuery, orderQuery, itemQuery] = [api.accountQuery, api.orderQuery, api.itemQuery];
    const consistency = undefined;
    const all = [
      await ask(balanceQuery, balanceQuery.getBalance, { member: 'm00', currency: 'EUR', consistency }),
      await ask(balanceQuery, balanceQuery.listBalances, { page: undefined, consistency }),
      await ask(balanceQuery, balanceQuery.listStatement, {
        member: 'm00',
        currency: 'EUR',
        page: undefined,
        consistency,
      }),
      await ask(orderQuery, orderQuery.listOrders, {
        source: '',
        merchant: '',
        member: '',
        page: undefined,
        consistency,
      }),
      await ask(itemQuery, itemQuery.listStock, { merchant: '', page: undefined, consistency }),
      await ask(api.programmeQuery, api.programmeQuery.listRuleSets, {
        merchant: 'shop',
        page: undefined,
        consistency,
      }),
      await ask(api.figuresQuery, api.figuresQuery.listWindows, {
        merchant: '',
        length: WindowLength.DAY,
        from: undefined,
        until: undefined,
        page: undefined,
        consistency,
      }),
      await ask(api.figuresQuery, api.figuresQuery.getLeaderboard, {
        board: Board.MEMBERS_BY_REBATE,
        merchant: 'shop',
        month: '',
        limit: 0,
        consistency,
      }),
    ];
    for (const answer of all) {
      if (!answer.ok) throw new Error(answer.message);
      const { read } = answer.response;
      expect(tokens.decode(read?.positionToken ?? '')).toEqual(at(50));
      expect(answer.trailers.get(positionTrailer)).toEqual([read?.positionToken]);
    }
    for (const missing of [
      await refusedBy(balanceQuery, balanceQuery.getBalance, {
        member: 'no',
        currency: 'EUR',
        consistency,
      }),
      await refusedBy(orderQuery, orderQuery.getOrder, { source: 'shop', externalId: 'no', consistency }),
      await refusedBy(itemQuery, itemQuery.getStock, { merchant: 'shop', sku: 'no', consistency }),
    ]) {
      expect(tokenIn(missing.trailers)).toEqual(at(50));
    }
  });

  test('says how many events an answer does not reflect, where the log can count', async () => {
    let end = 100;
    const counting = await startTestApi({
      head: async () => at(end),
      countEvents: (after, head) => head.commit - after.commit,
    });
    const lag = async (): Promise<bigint | undefined> => {
      const { read } = await answered(counting.accountQuery, counting.accountQuery.getBalance, get(''));
      return read?.lagEvents;
    };
    try {
      counting.tables.commit(balance, at(40), [balanceRow('m00')]);
      expect(await lag()).toBe(60n);
      // What is known of the end may be old for a moment, not for long.
      end = 110;
      await vi.waitFor(async () => expect(await lag()).toBe(70n));
      counting.tables.advance('projection:balance', at(115));
      expect(await lag()).toBe(0n);
    } finally {
      await counting.close();
    }
  });

  test('a token of another log of this installation is refused as such', async () => {
    const foreign = positionTokens(Buffer.from('key of the tests'), 'the-copy').encode(at(50));
    expect(await refusal(foreign)).toMatchObject({
      code: 'INVALID_ARGUMENT',
      reason: 'POSITION_TOKEN_FOREIGN',
      fields: ['consistency.at_least'],
    });
    expect(await refusal(foreign, { latest: true, stale: true })).toMatchObject({
      reason: 'POSITION_TOKEN_FOREIGN',
    });
  });

  test('a token that is made up, cut or of another installation is refused', async () => {
    const good = tokens.encode(at(50));
    for (const token of [
      'x',
      good.slice(0, -3),
      `${good.slice(0, -4)}AAAA`,
      'AQAAAAAAAAAAAAAAAAAAAAAAMS8x',
    ]) {
      expect(await refusal(token)).toMatchObject({
        code: 'INVALID_ARGUMENT',
        reason: 'POSITION_TOKEN_INVALID',
        fields: ['consistency.at_least'],
      });
    }
  });

  test('a token beyond the end of the log is refused at once', async () => {
    const failure = await refusal(tokens.encode(at(101)));
    expect(failure).toMatchObject({ code: 'OUT_OF_RANGE', reason: 'POSITION_UNKNOWN' });
    expect(tokenIn(failure.trailers)).toEqual(at(100));
    api.state.headFailure = new EventStoreUnavailable('down');
    expect(await refusal(tokens.encode(at(101)))).toMatchObject({
      code: 'UNAVAILABLE',
      reason: 'STORE_UNAVAILABLE',
    });
  });

  test('including effects waits for the policies, then for what they did', async () => {
    let done = false;
    const asked = query(tokens.encode(at(50)), { effects: true }).then((answer) => {
      done = true;
      return answer;
    });
    // The policy has seen it, and the log goes to 100: that is waited for.
    await until(() => api.tables.waiterCount === 1);
    api.tables.advance('projection:balance', at(99));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(done).toBe(false);
    api.tables.advance('projection:balance', at(100));
    await asked;
    // And a policy that has not seen the token is named.
    expect(await refusal(tokens.encode(at(60)), { effects: true, waitMs: 20 })).toMatchObject({
      reason: 'READ_MODEL_LAGGING',
      metadata: { name: 'policy:order-rebate' },
    });
  });

  test('including effects, asked again, does not wait for what strangers have written since', async () => {
    const own = await startTestApi();
    const askAt = (n: number) =>
      answered(own.accountQuery, own.accountQuery.getBalance, get(tokens.encode(at(n)), { effects: true }));
    try {
      own.state.head = at(30);
      own.tables.advance('policy:order-rebate', at(20));
      own.tables.commit(balance, at(30), [balanceRow('m00')]);
      await askAt(20);
      own.state.head = at(90);
      // Nor has the log to be asked.
      own.state.headFailure = new Error('no log');
      await askAt(20);
      await askAt(10);
      own.state.headFailure = undefined;
      expect(own.tables.waiterCount).toBe(0);
      // A later token is another matter: what policies do about it may be anywhere up to the end.
      own.tables.advance('policy:order-rebate', at(25));
      const asked = askAt(21);
      await until(() => own.tables.waiterCount === 1);
      own.tables.advance('projection:balance', at(90));
      await asked;
      // So is the latest, whatever token comes with it.
      own.state.head = at(95);
      own.tables.advance('policy:order-rebate', at(95));
      const latest = answered(
        own.accountQuery,
        own.accountQuery.getBalance,
        get(tokens.encode(at(20)), { effects: true, latest: true }),
      );
      await until(() => own.tables.waiterCount === 1);
      own.tables.advance('projection:balance', at(95));
      await latest;
    } finally {
      await own.close();
    }
  });

  test('including effects, without a token, is of the latest', async () => {
    const asked = query('', { effects: true });
    await until(() => api.tables.waiterCount === 1);
    api.tables.advance('policy:order-rebate', at(100));
    await until(() => api.tables.waiterCount === 1);
    api.tables.commit(balance, at(100), [balanceRow('m00', { available_minor: 9n })]);
    expect((await asked).balance?.availableMinor).toBe(9n);
  });

  test('waiting has its limits', async () => {
    const { consistency, ...wanted } = get(tokens.encode(at(50)));
    const tooLong = { ...consistency, maxWait: { seconds: 60n, nanos: 1 } };
    expect(
      await refusedBy(api.accountQuery, api.accountQuery.getBalance, { ...wanted, consistency: tooLong }),
    ).toMatchObject({ code: 'INVALID_ARGUMENT', fields: ['consistency.max_wait'] });
    const small = await startTestApi({ limits: { maxWaiters: 1 } });
    try {
      small.state.head = at(10);
      const waiting = refusedBy(
        small.accountQuery,
        small.accountQuery.getBalance,
        get(tokens.encode(at(9)), { waitMs: 500 }),
      );
      await until(() => small.tables.waiterCount === 1);
      expect(
        await refusedBy(
          small.accountQuery,
          small.accountQuery.getBalance,
          get(tokens.encode(at(9)), { waitMs: 500 }),
        ),
      ).toMatchObject({
        code: 'RESOURCE_EXHAUSTED',
        reason: 'TOO_MANY_WAITERS',
        types: ['ErrorInfo', 'QuotaFailure', 'RetryInfo'],
      });
      await waiting;
      // The place is free again.
      expect(
        await refusedBy(
          small.accountQuery,
          small.accountQuery.getBalance,
          get(tokens.encode(at(9)), { waitMs: 20 }),
        ),
      ).toMatchObject({ reason: 'READ_MODEL_LAGGING' });
    } finally {
      await small.close();
    }
  });

  test('including effects waits for what policies write while they are waited for', async () => {
    const own = await startTestApi();
    try {
      own.state.head = at(50);
      own.tables.advance('policy:order-rebate', at(40));
      own.tables.commit(balance, at(50), [balanceRow('m00')]);
      const asked = answered(
        own.accountQuery,
        own.accountQuery.getBalance,
        get(tokens.encode(at(45)), { effects: true }),
      );
      await until(() => own.tables.waiterCount === 1);
      // What it did about 45 is at 70.
      own.state.head = at(70);
      own.tables.advance('policy:order-rebate', at(45));
      await until(() => own.tables.waiterCount === 1);
      own.tables.commit(balance, at(70), [balanceRow('m00', { available_minor: 7n })]);
      expect((await asked).balance?.availableMinor).toBe(7n);
    } finally {
      await own.close();
    }
  });

  test('that was reached without a word is seen when the time is over', async () => {
    const own = await startTestApi();
    try {
      own.state.head = at(60);
      own.tables.commit(balance, at(50), [balanceRow('m00')]);
      // As if the notification had been lost.
      const waiting: AbortSignal[] = [];
      const reached = (_: string, __: Position, signal: AbortSignal) =>
        new Promise<void>((___, reject) => {
          waiting.push(signal);
          signal.addEventListener('abort', () => reject(new Error('aborted')));
        });
      Object.assign(own.tables.progress, { reached });
      const asked = answered(
        own.accountQuery,
        own.accountQuery.getBalance,
        get(tokens.encode(at(60)), { waitMs: 300 }),
      );
      await until(() => waiting.length === 1);
      own.tables.commit(balance, at(60), [balanceRow('m00', { available_minor: 7n })]);
      expect(await asked).toMatchObject({ balance: { availableMinor: 7n }, read: { stale: false } });
    } finally {
      await own.close();
    }
  });

  test('a client that goes away waits no more', async () => {
    const read = vi.spyOn(api.tables, 'get');
    for (const stale of [false, true]) {
      const call = api.accountQuery.getBalance(get(tokens.encode(at(60)), { stale }), () => undefined);
      await until(() => api.tables.waiterCount === 1);
      call.cancel();
      await until(() => api.tables.waiterCount === 0);
    }
    // Nor is anything read for it, stale or not.
    await query('');
    expect(read).toHaveBeenCalledTimes(1);
    read.mockRestore();
    expect(api.log).not.toContain('aborted');
  });
});

describe('the system', () => {
  test('shows its checkpoints', async () => {
    api.tables.advance('policy:order-rebate', at(100));
    const { checkpoints, headToken } = await answered(api.system, api.system.listCheckpoints, {});
    expect(tokens.decode(headToken)).toEqual(at(100));
    expect(checkpoints).toContainEqual({
      name: 'policy:order-rebate',
      positionToken: tokens.encode(at(100)),
      caughtUp: true,
      lagEvents: 0n,
    });
    expect(checkpoints).toContainEqual({
      name: 'projection:balance',
      positionToken: tokens.encode(at(50)),
      caughtUp: false,
      lagEvents: -1n,
    });
  });

  test('waits for everything', async () => {
    const wait = (atLeast: string, nanos: number) => ({
      consistency: ReadConsistency.fromPartial({
        atLeast,
        includingEffects: true,
        maxWait: { seconds: 0n, nanos },
      }),
    });
    expect(await refusedBy(api.system, api.system.waitFor, wait('', 2e7))).toMatchObject({
      reason: 'READ_MODEL_LAGGING',
    });
    // Or says how far all of them are.
    api.tables.advance('projection:stock', at(40));
    const { consistency } = wait('', 2e7);
    const stale = await answered(api.system, api.system.waitFor, {
      consistency: { ...consistency, onTimeout: OnTimeout.RETURN_STALE },
    });
    expect(stale.read).toMatchObject({ positionToken: tokens.encode(at(40)), stale: true });
    const waiting = answered(api.system, api.system.waitFor, wait('', 9e8));
    for (const { name } of readModels) api.tables.advance(`projection:${name}`, at(100));
    api.tables.advance('policy:order-rebate', at(100));
    expect(tokens.decode((await waiting).read?.positionToken ?? '')).toEqual(at(100));
    expect(await refusedBy(api.system, api.system.waitFor, wait(tokens.encode(at(101)), 2e7))).toMatchObject({
      code: 'OUT_OF_RANGE',
    });
  });
});
