/** What operators are told of watches: every figure moves for its reason, and for no other. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { watchFigures } from '../../src/main/metrics/watches.ts';
import { AccountQueryServiceClient } from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import {
  ItemQueryServiceClient,
  WatchStockRequest,
} from '../../src/gen/tallyback/item/v1/item_query_service.ts';
import { balance, stock } from '../../src/projections/index.ts';
import { BoardWatch } from './support/board.ts';
import { Browsing } from './support/browser.ts';
import { gate } from './support/bus.ts';
import { Feeding } from './support/feeding.ts';
import { balanceRow } from './support/requests.ts';
import { stockRow } from './support/rows.ts';
import { startTestApi, type TestApi, tokens, until } from './support/server.ts';
import { Streaming } from './support/streaming.ts';
import { at } from './support/tables.ts';
import { Watching } from './support/watching.ts';

let api: TestApi;
afterEach(() => api.close());

async function start(overrides: Parameters<typeof startTestApi>[0] = {}, members = 3): Promise<void> {
  api = await startTestApi(overrides);
  api.state.head = at(1_000_000);
  api.tables.commit(
    balance,
    at(10),
    Array.from({ length: members }, (_, n) => balanceRow(`m${n}`)),
  );
  api.tables.commit(stock, at(10), [stockRow('mug', 7n)]);
}

/** Every sample there is, by name and the values of its labels: "watches_open balances grpc". */
function samples(): ReadonlyMap<string, number> {
  const all = watchFigures(api.server.watchCounts).flatMap(({ name, samples: found }) =>
    found.map(({ labels = {}, value }): [string, number] => [
      [name.replace('tallyback_watch', ''), ...Object.values(labels)].join(' '),
      value,
    ]),
  );
  const byName = new Map(all);
  expect(byName.size).toBe(all.length);
  return byName;
}

function value(name: string): number {
  const found = samples().get(name);
  if (found === undefined) throw new Error(`no ${name} among ${[...samples().keys()].join(', ')}`);
  return found;
}

/** Those with this beginning that are not 0. */
const moved = (beginning: string): Record<string, number> =>
  Object.fromEntries([...samples()].filter(([name, now]) => name.startsWith(beginning) && now !== 0));

/** All that says how many there are now. */
const levels = (): Record<string, number> => ({
  ...moved('es_open'),
  ...moved('es_stalled'),
  ...moved('_snapshots'),
});

const ended = async (...watching: readonly { ended: unknown }[]): Promise<void> =>
  until(() => watching.every((one) => one.ended !== undefined));

/** Buffers little of what it does not read. */
const smallWindow = (): AccountQueryServiceClient =>
  api.connect(AccountQueryServiceClient, { 'grpc-node.flow_control_window': 65_535 });

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Commits until it is so. */
async function flood(enough: () => boolean): Promise<void> {
  for (let n = 100; !enough(); n++) {
    const rows = Array.from({ length: 200 }, (_, m) => balanceRow(`m${m}`, { available_minor: BigInt(n) }));
    api.tables.commit(balance, at(n), rows);
    await turn();
  }
}

test('watches are open, by what is watched and by the way, until they have ended', async () => {
  await start({ sse: { listen: '127.0.0.1:0' } });
  expect(levels()).toEqual({});
  const balances = [new Watching(api.accountQuery), new Watching(api.accountQuery)];
  const events = new Feeding(api.eventFeed);
  const board = new BoardWatch(api.figuresQuery);
  const browser = new Browsing(api.server.sseAddress ?? '', '/watch/balances');
  await Promise.all([...balances, events, board].map((one) => one.caughtUp()));
  await until(() => browser.words.includes('caughtUp'));
  expect(levels()).toEqual({
    'es_open balances grpc': 2,
    'es_open balances sse': 1,
    'es_open events grpc': 1,
    'es_open leaderboard grpc': 1,
  });
  expect(moved('es_ended')).toEqual({});
  browser.cut();
  balances[0]?.call.cancel();
  await until(() => value('es_ended_total client_left') === 2);
  expect(moved('es_open')).toEqual({
    'es_open balances grpc': 1,
    'es_open events grpc': 1,
    'es_open leaderboard grpc': 1,
  });
  for (const { call } of [...balances, events, board]) call.cancel();
  await until(() => value('es_ended_total client_left') === 5);
  expect(levels()).toEqual({});
  expect(moved('es_ended')).toEqual({ 'es_ended_total client_left': 5 });
});

test('an instance without the API has no figures of watches, not even zeros', async () => {
  await start();
  expect(watchFigures({}).flatMap(({ samples: found }) => found)).toEqual([]);
});

describe('a watch that ends is counted once, by why', () => {
  const following = async (watch: ConstructorParameters<typeof Watching>[1] = {}): Promise<Watching> => {
    const watching = new Watching(api.accountQuery, watch);
    await watching.caughtUp();
    return watching;
  };
  test.each<[string, () => Promise<void>, Parameters<typeof startTestApi>[0]?]>([
    ['client_left', async () => (await following()).call.cancel()],
    [
      // While it waits to be as fresh as asked for.
      'client_left',
      async () => {
        const watching = new Watching(api.accountQuery, { atLeast: tokens.encode(at(500)) });
        await until(() => api.tables.waiterCount === 1);
        expect(value('es_open balances grpc')).toBe(1);
        watching.call.cancel();
      },
    ],
    ['client_left', async () => ended(new Watching(api.accountQuery, { deadline: Date.now() + 300 }))],
    [
      'stopping',
      async () => {
        await following();
        await api.server.stop(1_000);
      },
    ],
    [
      // What fails because it is over is no failure of its own.
      'stopping',
      async () => {
        let fail: (error: Error) => void = () => undefined;
        api.tables.held = new Promise((_, reject) => (fail = reject));
        const watching = new Watching(api.accountQuery, { watch: { changesOnly: true } });
        await until(() => api.tables.changesCalls === 1);
        const stopped = api.server.stop(1_000);
        fail(new Error('broken'));
        await ended(watching);
        await stopped;
      },
    ],
    [
      'slow_consumer',
      async () => {
        const slow = new Watching(smallWindow(), { paused: true });
        await until(() => slow.messages.length > 0);
        await flood(() => slow.ended !== undefined);
      },
      { limits: { writeStallMs: 100 } },
    ],
    [
      'reset_refused',
      async () => {
        const watching = await following({ watch: { failOnReset: true } });
        api.tables.refold(balance, at(9), [balanceRow('m7')]);
        await ended(watching);
      },
    ],
    ['bad_request', () => ended(new Watching(api.accountQuery, { watch: { resumeToken: 'x' } }))],
    ['over_limit', () => ended(new Watching(api.accountQuery)), { limits: { maxWatches: 0 } }],
    [
      'unavailable',
      async () => {
        api.tables.failure = Object.assign(new Error('gone'), { code: '08006' });
        await ended(new Watching(api.accountQuery));
      },
    ],
    [
      'failed',
      async () => {
        api.tables.failure = new Error('broken');
        await ended(new Watching(api.accountQuery));
      },
    ],
  ])('%s', async (reason, happen, overrides) => {
    await start(overrides);
    await happen();
    await until(() => Object.keys(moved('es_ended')).length > 0);
    expect(moved('es_ended')).toEqual({ [`es_ended_total ${reason}`]: 1 });
    expect(levels()).toEqual({});
  });

  test('and what breaks the rules of the contract was never a watch', async () => {
    await start();
    const wrong = new Watching(api.accountQuery, {
      watch: { heartbeatInterval: { seconds: 10_000n, nanos: 0 } },
    });
    await ended(wrong);
    expect(wrong.ended?.code).toBe('INVALID_ARGUMENT');
    expect([...samples().values()].every((now) => now === 0)).toBe(true);
  });
});

test('messages are those that clients get, of every kind, by what is watched', async () => {
  await start({ limits: { heartbeatMs: 40 } }, 600);
  const [one, other] = [new Watching(api.accountQuery), new Watching(api.accountQuery)];
  await until(() => [one, other].every(({ words }) => words.includes('heartbeat')));
  api.tables.commit(balance, at(11), [balanceRow('m0', { available_minor: 1n })]);
  await until(() => [one, other].every(({ state }) => state.get('m0') === 1n));
  const received = (): number => one.messages.length + other.messages.length;
  // Nothing is on its way in the moment of the look.
  await until(() => value('_messages_total balances') === received());
  expect(Object.keys(moved('_messages'))).toEqual(['_messages_total balances']);
  const stocks = new Streaming(
    api.connect(ItemQueryServiceClient).watchStock(WatchStockRequest.fromPartial({ merchant: 'shop' })),
  );
  await stocks.caughtUp();
  await until(() => value('_messages_total stock') === stocks.messages.length);
});

test('resets are counted for each watch that is sent one', async () => {
  await start({ limits: { resetSpreadMs: 10 } });
  const watching = [new Watching(api.accountQuery), new Watching(api.accountQuery)];
  await Promise.all(watching.map((one) => one.caughtUp()));
  const token =
    watching[0]?.messages.findLast(({ header }) => header?.resumeToken)?.header?.resumeToken ?? '';
  expect(moved('_resets')).toEqual({});
  api.tables.refold(balance, at(9), [balanceRow('m7')]);
  await until(() => watching.every(({ words }) => words.includes('reset')));
  expect(moved('_resets')).toEqual({ '_resets_total balances': 2 });
  // A token of what was before.
  const late = new Watching(api.accountQuery, { watch: { resumeToken: token } });
  await late.caughtUp();
  expect(late.words[0]).toBe('reset');
  expect(value('_resets_total balances')).toBe(3);
  // Refused, and not sent.
  await ended(new Watching(api.accountQuery, { watch: { resumeToken: token, failOnReset: true } }));
  expect(value('_resets_total balances')).toBe(3);
});

describe('changes', () => {
  test('come from memory while a client follows, whoever wrote them, and no query is made for it', async () => {
    await start();
    const watching = new Watching(api.accountQuery);
    await watching.caughtUp();
    const fromDatabase = value('_reads_total balances database');
    for (let n = 1; n <= 6; n++) {
      api.tables.commit(balance, at(10 + n), [balanceRow('m0', { available_minor: BigInt(n) })]);
      await until(() => watching.state.get('m0') === BigInt(n));
      expect(value('_reads_total balances memory')).toBe(n);
    }
    expect(value('_reads_total balances database')).toBe(fromDatabase);
    expect(moved('_catchups')).toEqual({});
  });

  test('come from the database, by one query a page, when more was missed than is kept', async () => {
    await start({}, 0);
    api.tables.tellsWritten = () => false;
    const watching = [
      new Watching(api.accountQuery),
      new Watching(api.accountQuery, { members: ['nobody'] }),
    ];
    await Promise.all(watching.map((one) => one.caughtUp()));
    const before = value('_reads_total balances database');
    const queries = api.tables.changesCalls;
    const rows = Array.from({ length: 6_000 }, (_, n) => balanceRow(`m${n}`));
    api.tables.commit(balance, at(11), rows);
    await until(() => watching[0]?.state.size === 6_000);
    // Both had followed, and what concerns the other could not be told any more.
    await until(() => value('_catchups_total balances') === 2);
    expect(value('_reads_total balances memory')).toBe(0);
    const pages = value('_reads_total balances database') - before;
    // 6,000 rows for the one, nothing for the other; the rest are the feed's own.
    expect(pages).toBeGreaterThanOrEqual(6_000 / 256 + 1);
    expect(pages).toBeLessThan(api.tables.changesCalls - queries);
    // Caught up, they follow again.
    api.tables.commit(balance, at(12), [balanceRow('m0', { available_minor: 9n })]);
    await until(() => watching[0]?.state.get('m0') === 9n);
    await until(() => value('_reads_total balances memory') === 1);
    expect(value('_catchups_total balances')).toBe(2);
    expect(Object.keys(moved('_catchups'))).toEqual(['_catchups_total balances']);
  });
});

describe('snapshots', () => {
  test('run or wait, those of all watches together, until they are sent or given up', async () => {
    await start({ limits: { maxSnapshots: 2 } });
    const { opened, open } = gate();
    api.tables.beforeSnapshot = () => opened;
    const stocks = new Streaming(
      api.itemQuery.watchStock(WatchStockRequest.fromPartial({ merchant: 'shop' })),
    );
    await until(() => value('_snapshots running') === 1);
    const watching = Array.from({ length: 4 }, () => new Watching(api.accountQuery));
    await until(() => value('_snapshots waiting') === 3);
    expect(moved('_snapshots')).toEqual({ '_snapshots running': 2, '_snapshots waiting': 3 });
    // One that waits leaves.
    watching.at(-1)?.call.cancel();
    await until(() => value('_snapshots waiting') === 2);
    expect(value('_snapshots running')).toBe(2);
    open();
    await Promise.all([stocks, ...watching.slice(0, 3)].map((one) => one.caughtUp()));
    expect(moved('_snapshots')).toEqual({});
  });

  test('that fail are over, too', async () => {
    await start();
    api.tables.failure = new Error('broken');
    await ended(new Watching(api.accountQuery));
    expect(moved('_snapshots')).toEqual({});
  });
});

describe('a stalled client', () => {
  /** Whether it has been so for so many looks. */
  const steadily = (condition: () => boolean, looks = 50): (() => boolean) => {
    let streak = 0;
    return () => (streak = condition() ? streak + 1 : 0) >= looks;
  };

  test('is one while it takes nothing, and none when it has taken what there was', async () => {
    await start({ limits: { heartbeatMs: 60_000 } }, 0);
    const slow = new Watching(smallWindow(), { paused: true });
    const healthy = new Watching(api.accountQuery);
    await healthy.caughtUp();
    await until(() => slow.messages.length > 0);
    expect(value('es_stalled balances')).toBe(0);
    await flood(steadily(() => value('es_stalled balances') === 1));
    api.tables.commit(balance, at(100_000), [balanceRow('m0', { available_minor: 7n })]);
    await until(() => healthy.state.get('m0') === 7n);
    await until(() => value('es_stalled balances') === 1);
    expect(levels()).toEqual({ 'es_open balances grpc': 2, 'es_stalled balances': 1 });
    slow.read();
    await until(() => slow.state.get('m0') === 7n);
    await until(() => value('es_stalled balances') === 0);
    expect(moved('es_ended')).toEqual({});
  });

  test('is one in the midst of its snapshot, is sent no heartbeats meanwhile, and is none when it has left', async () => {
    await start({ limits: { heartbeatMs: 40, snapshotStallMs: 60_000 } }, 20_000);
    const slow = new Watching(smallWindow(), { paused: true });
    await until(steadily(() => value('es_stalled balances') === 1));
    const sent = value('_messages_total balances');
    await delay(400);
    expect(value('_messages_total balances')).toBe(sent);
    expect(levels()).toEqual({
      'es_open balances grpc': 1,
      'es_stalled balances': 1,
      '_snapshots running': 1,
    });
    slow.call.cancel();
    await until(() => value('es_ended_total client_left') === 1);
    expect(levels()).toEqual({});
  });

  test('is none when it is cut off', async () => {
    await start({ limits: { heartbeatMs: 40, snapshotStallMs: 300 } }, 20_000);
    const slow = new Watching(smallWindow(), { paused: true });
    await until(() => value('es_ended_total slow_consumer') === 1);
    expect(levels()).toEqual({});
    await ended(slow);
    expect(moved('es_ended')).toEqual({ 'es_ended_total slow_consumer': 1 });
  });
});
