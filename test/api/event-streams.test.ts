/** Watches for browsers: the same as over gRPC, whatever a browser, a page or a network does. */
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { ListenError } from '../../src/api/listen.ts';
import {
  WatchBalancesResponse,
  WatchStatementRequest,
  WatchStatementResponse,
} from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import {
  WatchWindowsRequest,
  WatchWindowsResponse,
  WindowLength,
} from '../../src/gen/tallyback/figures/v1/figures_query_service.ts';
import { WatchStockRequest, WatchStockResponse } from '../../src/gen/tallyback/item/v1/item_query_service.ts';
import {
  OrderStatus,
  WatchOrdersRequest,
  WatchOrdersResponse,
} from '../../src/gen/tallyback/order/v1/order_query_service.ts';
import { balance, figures, orders, statement, stock } from '../../src/projections/index.ts';
import { BalancePage, Browsing, type BrowsingOptions, rawly } from './support/browser.ts';
import { balanceRow, noon } from './support/requests.ts';
import { figuresRow, orderRow, stockRow } from './support/rows.ts';
import { startTestApi, type TestApi, tokens, until } from './support/server.ts';
import { at } from './support/tables.ts';
import { Watching } from './support/watching.ts';

let api: TestApi;
let address: string;
const open: Browsing[] = [];
afterEach(async () => {
  for (const browsing of open.splice(0)) browsing.cut();
  await api.close();
});

async function start(
  {
    origin,
    limits,
    ...overrides
  }: NonNullable<Parameters<typeof startTestApi>[0]> & { origin?: string } = {},
  members = 3,
): Promise<void> {
  api = await startTestApi({
    sse: { listen: '127.0.0.1:0', origin },
    ...overrides,
    // The log's head stands far ahead, so that every token is within it.
    limits: { ...limits },
  });
  address = api.server.sseAddress ?? '';
  api.state.head = at(1_000_000);
  api.tables.commit(
    balance,
    at(10),
    Array.from({ length: members }, (_, n) => balanceRow(`m${n}`)),
  );
}

function browse(path: string, options?: BrowsingOptions): Browsing {
  const browsing = new Browsing(address, path, options);
  open.push(browsing);
  return browsing;
}

const set = (position: number, member: string, amount: number): void =>
  api.tables.commit(balance, at(position), [balanceRow(member, { available_minor: BigInt(amount) })]);

const caughtUp = (browsing: Browsing): Promise<void> => until(() => browsing.words.includes('caughtUp'));

async function nothingLeft(): Promise<void> {
  await until(() => api.tables.openSnapshots === 0 && api.tables.listenerCount('projection:balance') === 0);
}

/** Opens, and gives what was said instead of a stream. */
async function refusal(path: string, options?: BrowsingOptions): Promise<Browsing> {
  const browsing = browse(path, options);
  await browsing.over;
  return browsing;
}

describe('a browser', () => {
  test('sees what gRPC sees, message by message, with tokens where gRPC has them', async () => {
    await start({}, 600);
    const watching = new Watching(api.accountQuery, { members: ['m1', 'm2', 'm3'] });
    const browsing = browse('/watch/balances?members=m1&members=m2&members=m3');
    await Promise.all([watching.caughtUp(), caughtUp(browsing)]);
    const both = (length: number) => () =>
      browsing.events.length === length && watching.messages.length === length;
    set(11, 'm1', 7);
    await until(both(5));
    set(12, 'm9', 8);
    set(13, 'm2', 9);
    await until(both(6));
    expect(browsing.status).toBe(200);
    expect(browsing.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    expect(browsing.headers).not.toHaveProperty('access-control-allow-origin');
    expect(browsing.parser.retryMs).toBeGreaterThan(0);
    // Read by the generated types, which the server does not write them with.
    const read = browsing.events.map(
      ({ name, data }) => WatchBalancesResponse.fromJSON({ [name]: data }).event,
    );
    expect(read).toEqual(watching.messages.map(({ event }) => event));
    let id = '';
    const ids = watching.messages.map(({ header }) => (id = header?.resumeToken || id));
    expect(browsing.events.map((event) => event.id)).toEqual(ids);
    expect(ids.at(-1)).not.toBe('');
    // Rows are whole, and amounts are texts: no number of JavaScript is cut.
    expect(browsing.events.find(({ name }) => name === 'changes')?.data).toMatchObject({
      balances: [
        {
          member: 'm1',
          availableMinor: '100',
          debtMinor: '0',
          frozen: false,
          changedAt: '2026-03-01T12:00:00Z',
        },
        {},
        {},
      ],
    });
  });

  test('sees all kinds of rows, narrowed by the fields of the request', async () => {
    await start();
    api.tables.commit(stock, at(10), [stockRow('mug', 7n), stockRow('cup', 1n)]);
    api.tables.commit(figures, at(10), [figuresRow(noon), figuresRow(new Date('2026-01-01T00:00:00Z'))]);
    api.tables.commit(orders, at(10), [
      orderRow('o1'),
      { ...orderRow('o2'), status: 'ORDER_STATUS_TRACKED' },
    ]);
    api.tables.commit(statement, at(10), [
      {
        member: 'ann & bob',
        currency: 'EUR',
        revision: 9_007_199_254_740_993n,
        occurred_at: noon,
        kind: 'RebateAccrued',
        reference: 'o1',
        merchant: 'shop',
        amount_minor: -5n,
        pending_after_minor: 0n,
        available_after_minor: 0n,
        reserved_after_minor: 0n,
        paid_after_minor: 0n,
        debt_after_minor: 0n,
      },
    ]);
    const seen = async (path: string): Promise<object[]> => {
      const browsing = browse(path);
      await caughtUp(browsing);
      return browsing.events
        .filter(({ name }) => name === 'changes')
        .map(({ name, data }) => ({ [name]: data }));
    };
    const changes = async <Res extends { event?: { $case: string } | undefined }>(
      call: AsyncIterable<Res> & { cancel(): void },
    ): Promise<Res['event'][]> => {
      const found: Res['event'][] = [];
      for await (const { event } of call) {
        if (event?.$case === 'changes') found.push(event);
        if (event?.$case === 'caughtUp') break;
      }
      return found;
    };
    const itself = [
      await seen('/watch/stock?merchant=shop&skus=mug'),
      await seen(`/watch/windows?length=WINDOW_LENGTH_DAY&from=${noon.toISOString()}`),
      await seen('/watch/orders?statuses=ORDER_STATUS_CONFIRMED&statuses=ORDER_STATUS_DECLINED'),
      await seen('/watch/statement?members=ann+%26%20bob'),
    ];
    expect(itself.map((events) => events.length)).toEqual([1, 1, 1, 1]);
    const [ofStock = [], ofWindows = [], ofOrders = [], ofStatement = []] = itself;
    expect(ofStock.map((json) => WatchStockResponse.fromJSON(json).event)).toEqual(
      await changes(
        api.itemQuery.watchStock(WatchStockRequest.fromPartial({ merchant: 'shop', skus: ['mug'] })),
      ),
    );
    expect(ofWindows.map((json) => WatchWindowsResponse.fromJSON(json).event)).toEqual(
      await changes(
        api.figuresQuery.watchWindows(
          WatchWindowsRequest.fromPartial({ length: WindowLength.DAY, from: noon }),
        ),
      ),
    );
    expect(ofOrders.map((json) => WatchOrdersResponse.fromJSON(json).event)).toEqual(
      await changes(
        api.orderQuery.watchOrders(
          WatchOrdersRequest.fromPartial({ statuses: [OrderStatus.CONFIRMED, OrderStatus.DECLINED] }),
        ),
      ),
    );
    expect(ofStatement.map((json) => WatchStatementResponse.fromJSON(json).event)).toEqual(
      await changes(
        api.accountQuery.watchStatement(WatchStatementRequest.fromPartial({ members: ['ann & bob'] })),
      ),
    );
    expect(JSON.stringify(ofStatement)).toContain('"9007199254740993"');
  });

  test('hears that the stream is alive, as often as it asks, and its place moves on meanwhile', async () => {
    await start({ limits: { heartbeatMs: 40 } });
    const browsing = browse('/watch/balances?members=m1');
    await caughtUp(browsing);
    const { lastEventId } = browsing.parser;
    set(15, 'm0', 1);
    await until(() => browsing.words.at(-1) === 'heartbeat' && browsing.parser.lastEventId !== lastEventId);
    expect(browsing.events.at(-1)?.data).toEqual({ nextWithin: '0.040s' });
    const slower = browse('/watch/balances?members=m1&options.heartbeatInterval=60s');
    await caughtUp(slower);
    await until(() => browsing.words.filter((word) => word === 'heartbeat').length > 4);
    expect(slower.words).not.toContain('heartbeat');
  });

  test('is told to begin again when the read model was folded anew', async () => {
    await start({ limits: { resetSpreadMs: 10 } });
    const browsing = browse('/watch/balances');
    await caughtUp(browsing);
    const { length } = browsing.events;
    api.tables.refold(balance, at(9), [balanceRow('m0', { available_minor: 1n }), balanceRow('m2')]);
    await until(() => browsing.words.slice(length).includes('caughtUp'));
    expect(browsing.words.slice(length)).toEqual([
      'reset',
      'snapshotStarted',
      'changes',
      'snapshotCompleted',
      'caughtUp',
    ]);
    expect(browsing.events[length]?.data).toEqual({ reason: 'RESET_REASON_REBUILT' });
    // Cut in the middle of that, it has only its old place, and is told once more.
    const outdated = browse('/watch/balances', { lastEventId: browsing.events[length - 1]?.id ?? '' });
    await caughtUp(outdated);
    expect(outdated.events[0]).toMatchObject({
      name: 'reset',
      data: { reason: 'RESET_REASON_TOKEN_OUTDATED' },
    });
  });

  test('goes on where it was, whichever way it was there before', async () => {
    await start();
    const first = browse('/watch/balances?members=m0&members=m1');
    await caughtUp(first);
    first.cut();
    await nothingLeft();
    set(11, 'm1', 5);
    const lastEventId = first.parser.lastEventId;
    const token = encodeURIComponent(lastEventId);
    // A browser repeats the URL as it was: where it has been since is in the header.
    const stale = 'options.resumeToken=stale';
    for (const [path, options] of [
      ['/watch/balances?members=m0&members=m1', { lastEventId }],
      [`/watch/balances?members=m0&members=m1&${stale}`, { lastEventId }],
      [`/watch/balances?options.resume_token=stale&members=m0&members=m1`, { lastEventId }],
      [`/watch/balances?members=m0&members=m1&options.resumeToken=${token}`, {}],
    ] as const) {
      const again = browse(path, options);
      await caughtUp(again);
      expect(again.words).toEqual(['changes', 'caughtUp']);
      expect(again.events[0]?.data).toMatchObject({ balances: [{ member: 'm1', availableMinor: '5' }] });
    }
    const watching = new Watching(api.accountQuery, {
      members: ['m0', 'm1'],
      watch: { resumeToken: lastEventId },
    });
    await watching.caughtUp();
    expect(watching.words).toEqual(['changes', 'caughtUp']);
    const back = browse('/watch/balances?members=m0&members=m1', {
      lastEventId: watching.messages.at(-1)?.header?.resumeToken ?? '',
    });
    await caughtUp(back);
    expect(back.words).toEqual(['caughtUp']);
  });

  test('that is cut off at any byte, again and again, ends with the state of the table, and without new snapshots', async () => {
    await start({ limits: { heartbeatMs: 60_000 } }, 12);
    let position = 100;
    const cuts = fc.array(fc.record({ bytes: fc.oneof(fc.nat(9_000), fc.nat(700)), changes: fc.nat(6) }), {
      minLength: 1,
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(cuts, async (rounds) => {
        const page = new BalancePage();
        let lastEventId = '';
        const change = (): void =>
          set(++position, `m${position % 12}`, position % 7 === 0 ? 2 ** 40 + position : position);
        const visit = async (cutAfter: number | undefined, enough: (words: readonly string[]) => boolean) => {
          const resumes = lastEventId !== '';
          const browsing = browse('/watch/balances', {
            lastEventId,
            ...(cutAfter === undefined ? {} : { cutAfter }),
          });
          let over = false;
          void browsing.over.then(() => (over = true));
          await until(() => over || enough(browsing.words));
          browsing.cut();
          await browsing.over;
          for (const event of browsing.events) page.take(event);
          page.lost();
          if (resumes) expect(browsing.words).not.toContain('snapshotStarted');
          lastEventId = browsing.parser.lastEventId;
        };
        for (const { bytes, changes } of rounds) {
          for (let n = 0; n < changes; n++) change();
          await visit(bytes, (words) => words.includes('caughtUp'));
        }
        change();
        await visit(undefined, (words) => words.includes('caughtUp'));
        const truth = new Watching(api.accountQuery);
        await truth.caughtUp();
        truth.call.cancel();
        const shown = new Map([...page.shown].map(([member, amount]) => [member, BigInt(amount)]));
        expect(shown).toEqual(truth.state);
      }),
      { numRuns: 40 },
    );
    await nothingLeft();
  });

  test('leaves nothing behind when it goes', async () => {
    await start();
    const all = Array.from({ length: 20 }, () => browse('/watch/balances'));
    await Promise.all(all.map(caughtUp));
    for (const browsing of all) browsing.cut();
    await nothingLeft();
  });

  test('shares the places with gRPC, and is told when to come again', async () => {
    await start({ limits: { maxWatches: 2 } });
    const watching = new Watching(api.accountQuery);
    const browsing = browse('/watch/balances');
    await Promise.all([watching.caughtUp(), caughtUp(browsing)]);
    const third = await refusal('/watch/balances');
    // Not another status: at that an EventSource gives up.
    expect(third.status).toBe(200);
    expect(third.events).toEqual([
      {
        name: 'end',
        id: '',
        data: {
          code: 'RESOURCE_EXHAUSTED',
          reason: 'TOO_MANY_WATCHES',
          message: 'too many watches are open',
          retryAfterMs: 5_000,
        },
      },
    ]);
    expect(third.parser.retryMs).toBeGreaterThanOrEqual(5_000);
    browsing.cut();
    await until(() => api.tables.listenerCount('projection:balance') === 1);
    await delay(20);
    await caughtUp(browse('/watch/balances'));
  });

  test('waits for the token it is given', async () => {
    await start();
    const browsing = browse(
      `/watch/balances?consistency.atLeast=${tokens.encode(at(20))}&consistency.maxWait=30s`,
    );
    await until(() => api.tables.waiterCount === 1);
    set(20, 'm0', 42);
    await caughtUp(browsing);
    expect(JSON.stringify(browsing.events)).toContain('"availableMinor":"42"');
  });
});

describe('bad input', () => {
  const member = (length: number): string => 'x'.repeat(length);
  const mistakes: readonly (readonly [path: string, reason: string, field: string])[] = [
    ['/watch/balances?member=m1', 'UNKNOWN_PARAMETER', 'member'],
    ['/watch/balances?__proto__=1', 'UNKNOWN_PARAMETER', '__proto__'],
    ['/watch/balances?members.x=1', 'UNKNOWN_PARAMETER', 'members.x'],
    ['/watch/balances?options=1', 'UNKNOWN_PARAMETER', 'options'],
    [
      '/watch/balances?options.conflationWindow.seconds=1',
      'UNKNOWN_PARAMETER',
      'options.conflationWindow.seconds',
    ],
    [
      '/watch/balances?options.changesOnly=true&options.changesOnly=false',
      'GIVEN_TWICE',
      'options.changes_only',
    ],
    ['/watch/orders?merchant=a&merchant=b', 'GIVEN_TWICE', 'merchant'],
    ['/watch/balances?options.changesOnly=yes', 'MALFORMED_PARAMETER', 'options.changes_only'],
    ['/watch/balances?options.conflationWindow=soon', 'MALFORMED_PARAMETER', 'options.conflation_window'],
    ['/watch/balances?options.conflationWindow=-1s', 'duration.gte_lte', 'options.conflation_window'],
    ['/watch/balances?options.conflationWindow=11s', 'duration.gte_lte', 'options.conflation_window'],
    ['/watch/windows', 'enum.not_in', 'length'],
    ['/watch/windows?length=WINDOW_LENGTH_YEAR', 'MALFORMED_PARAMETER', 'length'],
    ['/watch/windows?length=DAY', 'MALFORMED_PARAMETER', 'length'],
    ['/watch/windows?length=WINDOW_LENGTH_DAY&from=yesterday', 'MALFORMED_PARAMETER', 'from'],
    ['/watch/windows?length=WINDOW_LENGTH_DAY&from=1066-10-14T00:00:00Z', 'timestamp.gte_lt', 'from'],
    [
      '/watch/orders?statuses=ORDER_STATUS_CONFIRMED&statuses=ORDER_STATUS_CONFIRMED',
      'repeated.unique',
      'statuses',
    ],
    ['/watch/orders?statuses=77', 'MALFORMED_PARAMETER', 'statuses'],
    ['/watch/balances?members=', 'string.min_len', 'members[0]'],
    [`/watch/balances?members=${member(129)}`, 'string.max_len', 'members[0]'],
    ['/watch/balances?members=a%00b', 'string.pattern', 'members[0]'],
    [`/watch/balances?${'members=a&'.repeat(1_001)}members=b`, 'repeated.max_items', 'members'],
    ['/watch/balances?members=%FF', 'MALFORMED_URL', ''],
    ['/watch/balances?members=%', 'MALFORMED_URL', ''],
    ['/watch/balances?options.resumeToken=x', 'RESUME_TOKEN_INVALID', 'options.resume_token'],
    ['/watch/balances?options.notCaughtUpBefore=x', 'POSITION_TOKEN_INVALID', 'options.not_caught_up_before'],
    ['/watch/balances?consistency.atLeast=x', 'POSITION_TOKEN_INVALID', 'consistency.at_least'],
  ];

  test('is refused, with reason and field, and nothing happens', async () => {
    await start();
    for (const [path, reason, field] of mistakes) {
      const refused = await refusal(path);
      expect(refused.status, path).toBe(400);
      expect(refused.headers).toMatchObject({
        'content-type': 'application/json',
        'cache-control': 'no-store',
      });
      const { code, message, violations, ...rest } = refused.json;
      expect(code).toBe('INVALID_ARGUMENT');
      expect(violations, path).toContainEqual(expect.objectContaining({ reason, field }));
      expect(String(message).length).toBeLessThanOrEqual(256);
      expect(Object.keys(rest)).toEqual(['reason']);
    }
    await nothingLeft();
  });

  test('a place that is not one is refused with a status that makes a browser give up', async () => {
    await start();
    const first = browse('/watch/balances');
    await caughtUp(first);
    const { lastEventId } = first.parser;
    const forged = await refusal('/watch/balances', { lastEventId: `${lastEventId}x` });
    expect(forged).toMatchObject({ status: 400, json: { reason: 'RESUME_TOKEN_INVALID' } });
    const foreign = await refusal('/watch/balances?members=m1', { lastEventId });
    expect(foreign).toMatchObject({ status: 400, json: { reason: 'RESUME_TOKEN_FOREIGN' } });
    const long = await refusal('/watch/balances', { lastEventId: 'x'.repeat(1_025) });
    expect(long).toMatchObject({ status: 400, json: { reason: 'INVALID_REQUEST' } });
    api.tables.refold(balance, at(9), []);
    const outdated = await refusal('/watch/balances?options.failOnReset=true', { lastEventId });
    expect(outdated.status).toBe(400);
    expect(outdated.json).toEqual({
      code: 'OUT_OF_RANGE',
      reason: 'RESUME_TOKEN_OUTDATED',
      message: expect.any(String),
    });
  });

  test('many mistakes make a short answer', async () => {
    await start();
    const refused = await refusal(`/watch/balances?${'nonsense=1&'.repeat(1_000)}`);
    expect(refused.status).toBe(400);
    expect(refused.json['violations']).toHaveLength(20);
  });

  test('what fails inside is named by an id, and no more', async () => {
    await start();
    api.tables.failure = new Error('secret');
    const refused = await refusal('/watch/balances?members=m1');
    expect(refused).toMatchObject({ status: 500, json: { code: 'INTERNAL', reason: 'INTERNAL' } });
    expect(refused.body).toContain('error-1');
    expect(refused.body).not.toContain('secret');
    // Nor does the log say whom it was about.
    expect(api.log.join('\n')).toMatch(/^\/watch\/balances: error error-1: Error: secret/);
    api.tables.failure = Object.assign(new Error('secret'), { code: 'ECONNREFUSED' });
    const later = await refusal('/watch/balances');
    expect(later).toMatchObject({
      status: 200,
      events: [
        { name: 'end', data: { code: 'UNAVAILABLE', reason: 'STORE_UNAVAILABLE', retryAfterMs: 1_000 } },
      ],
    });
  });

  test('other paths, methods and bodies', async () => {
    await start();
    for (const path of [
      '/',
      '/watch',
      '/watch/',
      '/watch/nothing',
      '/watch/constructor',
      '/watch/balances/',
      '/../watch',
    ])
      expect(await refusal(path)).toMatchObject({
        status: 404,
        json: { code: 'NOT_FOUND', reason: 'NO_SUCH_WATCH' },
      });
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'TRACE']) {
      const refused = await refusal('/watch/balances', { method });
      expect(refused).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD, OPTIONS' } });
    }
    const head = await refusal('/watch/balances', { method: 'HEAD' });
    expect(head).toMatchObject({ status: 200, headers: { 'content-type': 'text/event-stream' }, bytes: 0 });
    expect(await refusal('/watch/balances?x=1', { method: 'HEAD' })).toMatchObject({ status: 400, bytes: 0 });
    const options = await refusal('/watch/balances', { method: 'OPTIONS' });
    expect(options).toMatchObject({ status: 204, headers: { allow: 'GET, HEAD, OPTIONS' } });
    const body = await rawly(
      address,
      'GET /watch/balances HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello',
    );
    expect(body).toMatch(/^HTTP\/1.1 400 [^]*BODY_NOT_TAKEN/);
    await nothingLeft();
  });
});

describe('pages of elsewhere', () => {
  const visitors: readonly (readonly [what: string, headers: Record<string, string>, status: number])[] = [
    ['a name that was pointed here', { host: 'evil.example:7421' }, 403],
    ['a name that only begins like ours', { host: 'localhost.evil.example' }, 403],
    ['an address that only begins like ours', { host: '127.0.0.1.evil.example' }, 403],
    ['another origin', { origin: 'https://evil.example' }, 403],
    ['no origin that has a name', { origin: 'null' }, 403],
    ['one that does not want to read', { 'sec-fetch-site': 'cross-site' }, 403],
    ['a neighbour', { 'sec-fetch-site': 'same-site' }, 403],
    [
      'a page from here',
      { host: 'localhost:9', origin: 'http://localhost:9', 'sec-fetch-site': 'same-origin' },
      200,
    ],
    ['a page through IPv6', { host: '[::1]:9' }, 200],
    ['typed in', { 'sec-fetch-site': 'none' }, 200],
  ];

  test('are kept out, whatever they try', async () => {
    await start();
    for (const [what, headers, status] of visitors) {
      const answer = await refusal('/watch/balances', { method: 'HEAD', headers });
      expect(answer.status, what).toBe(status);
      expect(answer.headers).not.toHaveProperty('access-control-allow-origin');
      expect(answer.headers).toMatchObject({ 'x-content-type-options': 'nosniff' });
    }
  });

  test('are let in by name, one of them', async () => {
    const origin = 'https://console.example';
    await start({ origin });
    const cross = { origin, 'sec-fetch-site': 'cross-site' };
    const page = browse('/watch/balances', { headers: cross });
    await caughtUp(page);
    expect(page.headers).toMatchObject({ 'access-control-allow-origin': origin, vary: 'Origin' });
    // It also reads why it is refused.
    const refused = await refusal('/watch/balances?x=1', { headers: cross });
    expect(refused).toMatchObject({ status: 400, headers: { 'access-control-allow-origin': origin } });
    const preflight = await refusal('/watch/balances', {
      method: 'OPTIONS',
      headers: { ...cross, 'access-control-request-method': 'GET' },
    });
    expect(preflight).toMatchObject({
      status: 204,
      headers: { 'access-control-allow-origin': origin, 'access-control-allow-headers': 'Last-Event-ID' },
    });
    const other = await refusal('/watch/balances', { headers: { origin: 'https://console.example.evil' } });
    expect(other.status).toBe(403);
    expect(other.headers).not.toHaveProperty('access-control-allow-origin');
    expect(other.headers).toMatchObject({ vary: 'Origin' });
    // Behind a proxy that has the name.
    expect(
      await refusal('/watch/balances', { method: 'HEAD', headers: { host: 'console.example' } }),
    ).toMatchObject({
      status: 200,
    });
  });
});

describe('a browser that does not read', () => {
  /** One that has begun to watch and reads nothing; gives how to end it. */
  async function stalled(): Promise<Browsing> {
    const browsing = browse('/watch/balances');
    await caughtUp(browsing);
    browsing.pause();
    return browsing;
  }

  const members = Array.from({ length: 200 }, (_, m) => `m${m}-${'x'.repeat(100)}`);
  const flood = (n: number): void =>
    api.tables.commit(
      balance,
      at(100 + n),
      members.map((member) => balanceRow(member, { available_minor: BigInt(n) })),
    );

  test('stalls alone, costs its buffer and no more, and gets the rows as they are when it reads again', async () => {
    await start({ limits: { heartbeatMs: 60_000 } });
    const healthy = new Watching(api.accountQuery);
    await healthy.caughtUp();
    const slow = await stalled();
    const most = 400;
    for (let n = 0; n <= most; n++) {
      flood(n);
      // So that none of them goes with another.
      await until(() => healthy.state.get(members[7] ?? '') === BigInt(n));
    }
    const calls = api.tables.changesCalls;
    await delay(50);
    expect(api.tables.changesCalls).toBe(calls);
    slow.resume();
    const last = `"availableMinor":"${most}"`;
    await until(() => JSON.stringify(slow.events.at(-1)?.data ?? '').includes(last));
    const page = new BalancePage();
    for (const event of slow.events) page.take(event);
    expect(new Map([...page.shown].map(([member, amount]) => [member, BigInt(amount)]))).toEqual(
      healthy.state,
    );
    // All of it would be more than 30 MB; the kernel's buffers hold a third of that at most.
    expect(slow.events.length).toBeLessThan(most * 0.6);
  });

  test('is cut off when it takes nothing for too long', async () => {
    await start({ limits: { writeStallMs: 100 } });
    const slow = await stalled();
    let over = false;
    void slow.over.then(() => (over = true));
    const watched = (): boolean => api.tables.listenerCount('projection:balance') > 0;
    for (let n = 0; watched(); n++) {
      flood(n);
      await delay(1);
    }
    await nothingLeft();
    slow.resume();
    await until(() => over);
    expect(slow.words).not.toContain('end');
  });

  test('may not hold up a snapshot', async () => {
    await start({ limits: { snapshotStallMs: 2_000, maxSnapshots: 1 } }, 30_000);
    const socket = connectTcp(Number(address.split(':')[1]), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.pause();
    socket.write('GET /watch/balances HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until(() => api.tables.openSnapshots === 1);
    const other = browse('/watch/balances');
    await until(() => other.words.includes('snapshotCompleted'));
    other.cut();
    await nothingLeft();
    socket.destroy();
  });

  test('does not delay a stop beyond the grace', async () => {
    await start();
    await stalled();
    for (let n = 0; n < 300; n++) {
      flood(n);
      if (n % 10 === 0) await delay(1);
    }
    await api.server.stop(300);
    await nothingLeft();
  });
});

describe('the server', () => {
  test('ends streams when it stops, says so, and frees the port', async () => {
    await start();
    const browsing = browse('/watch/balances');
    await caughtUp(browsing);
    const idle = connectTcp(Number(address.split(':')[1]), '127.0.0.1');
    idle.on('error', () => undefined);
    await once(idle, 'connect');
    // It is not the grace that ends them.
    await api.server.stop(600_000);
    await browsing.over;
    expect(browsing.events.at(-1)).toMatchObject({
      name: 'end',
      data: { code: 'UNAVAILABLE', reason: 'SERVER_STOPPING', retryAfterMs: 1_000 },
      // It goes on elsewhere where it was.
      id: browsing.events.at(-2)?.id,
    });
    expect(browsing.parser.lastEventId).not.toBe('');
    await nothingLeft();
    idle.destroy();
    await start({ sse: { listen: address } });
    await caughtUp(browse('/watch/balances'));
  });

  test('says which address it cannot have, and gives the other one back', async () => {
    await start();
    const { sseAddress = '' } = api.server;
    const listen = api.server.address;
    await api.server.stop();
    const taken = await startTestApi({ sse: { listen: '127.0.0.1:0' } });
    const wanted = taken.server.sseAddress ?? '';
    await expect(startTestApi({ listen, sse: { listen: wanted } })).rejects.toThrow(ListenError);
    await taken.close();
    await start({ listen, sse: { listen: sseAddress } });
    expect(api.server.address).toBe(listen);
  });

  test('is not there unless asked for, and warns when others can reach it', async () => {
    api = await startTestApi();
    expect(api.server.sseAddress).toBeUndefined();
    await api.close();
    api = await startTestApi({ sse: { listen: '0.0.0.0:0' } });
    expect(api.log).toContain('the event streams listen on 0.0.0.0 without TLS or authentication');
  });

  test('serves one request after another on a connection, and the stream is the last', async () => {
    await start();
    const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`;
    const answers = await rawly(
      address,
      get('/nothing') +
        get('/watch/balances?x=1') +
        `OPTIONS /watch/balances HTTP/1.1\r\nHost: localhost\r\n\r\n` +
        get('/watch/balances?members=m1') +
        // Behind a stream nothing is served, and it does no harm.
        get('/watch/balances?members=m2').repeat(3),
      (answer) => answer.includes('event: caughtUp'),
    );
    expect([...answers.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual([
      '404',
      '400',
      '204',
      '200',
    ]);
    expect(answers).toContain('"member":"m1"');
    await nothingLeft();
    // But it may not pile up.
    const greedy = await rawly(address, get('/watch/balances') + get('/watch/balances').repeat(1_000));
    expect(greedy).not.toContain('HTTP/1.1 404');
    await nothingLeft();
    // A connection whose stream was refused is at its end, too, and does not wait for ever.
    const refused = await rawly(address, get('/watch/balances?options.resumeToken=x') + get('/nothing'));
    expect([...refused.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual(['400']);
  });

  test('does not wait for those who send slowly, nor read what is too long', async () => {
    await start({ limits: { requestMs: 200 } });
    // Nothing; half a line; a body that never comes.
    await rawly(address, '');
    expect(await rawly(address, 'GET /watch/bal')).not.toContain('200 OK');
    await rawly(address, 'POST /watch/balances HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx');
    const long = `GET /watch/balances?members=${'x'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    expect(await rawly(address, long)).toMatch(/^HTTP\/1.1 431 /);
    expect(await rawly(address, '\0\0\0\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /);
    // A stream is not a request that takes too long.
    const browsing = browse('/watch/balances');
    await caughtUp(browsing);
    await delay(600);
    set(11, 'm0', 3);
    await until(() => browsing.words.at(-1) === 'changes');
  });

  test('has a limit of connections', async () => {
    await start({ limits: { maxEventStreamConnections: 2 } });
    const [first, second] = [browse('/watch/balances'), browse('/watch/balances')];
    await Promise.all([caughtUp(first), caughtUp(second)]);
    const third = browse('/watch/balances');
    await third.over;
    expect(third.status).toBe(0);
    first.cut();
    await until(() => api.tables.listenerCount('projection:balance') === 1);
    await delay(20);
    await caughtUp(browse('/watch/balances'));
  });
});
