import { credentials } from '@grpc/grpc-js';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { AccountQueryServiceClient } from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import {
  WatchWindowsRequest,
  WindowLength,
} from '../../src/gen/tallyback/figures/v1/figures_query_service.ts';
import { WatchStockRequest } from '../../src/gen/tallyback/item/v1/item_query_service.ts';
import { balance, figures, stock } from '../../src/projections/index.ts';
import { cuttable } from './support/proxy.ts';
import { balanceRow, noon } from './support/requests.ts';
import { figuresRow, stockRow } from './support/rows.ts';
import { answered, startTestApi, tokens, type TestApi, until } from './support/server.ts';
import { at } from './support/tables.ts';
import { Watching } from './support/watching.ts';

let api: TestApi;
afterEach(() => api.close());

async function start(limits: Parameters<typeof startTestApi>[0] = {}, members = 3): Promise<void> {
  api = await startTestApi(limits);
  api.state.head = at(1_000_000);
  api.tables.commit(
    balance,
    at(10),
    Array.from({ length: members }, (_, n) => balanceRow(`m${n}`)),
  );
}

const set = (position: number, member: string, amount: bigint): void =>
  api.tables.commit(balance, at(position), [balanceRow(member, { available_minor: amount })]);

/** Everything a watch owns is given back. */
async function nothingLeft(): Promise<void> {
  await until(() => api.tables.openSnapshots === 0 && api.tables.listenerCount('projection:balance') === 0);
}

const aborted = async (signal: AbortSignal): Promise<void> => {
  if (!signal.aborted) await once(signal, 'abort');
};

describe('a watch', () => {
  test('sends a snapshot, then changes, in the grammar, numbered without gaps', async () => {
    await start({}, 600);
    const watching = new Watching(api.accountQuery);
    await watching.caughtUp();
    set(11, 'm0', 1n);
    await until(() => watching.state.get('m0') === 1n);
    set(12, 'm1', 2n);
    await until(() => watching.state.get('m1') === 2n);
    expect(watching.words).toEqual([
      'snapshotStarted',
      'changes',
      'changes',
      'changes',
      'snapshotCompleted',
      'caughtUp',
      'changes',
      'changes',
    ]);
    expect(watching.rowsPerMessage).toEqual([256, 244, 100, 1, 1]);
    expect(watching.messages.map(({ header }) => header?.sequence)).toEqual([1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n]);
    expect(watching.messages.map(({ header }) => tokens.decode(header?.positionToken ?? '')?.commit)).toEqual(
      [undefined, undefined, undefined, undefined, 10n, 10n, 11n, 12n],
    );
    expect(watching.messages[4]?.event).toEqual({ $case: 'snapshotCompleted', value: { rowCount: 600n } });
    watching.call.cancel();
    await nothingLeft();
  });

  test('is sent the same whether the feed is told what was written, or reads it', async () => {
    /** All that was sent, to one who watches everything and one who does not. */
    const sent = async (tellsWritten: (commit: bigint) => boolean): Promise<unknown[][]> => {
      await start();
      api.tables.tellsWritten = tellsWritten;
      const all = [
        new Watching(api.accountQuery),
        new Watching(api.accountQuery, { members: ['m1', '💷', 'm9'] }),
      ];
      const see = (member: string, amount: bigint): Promise<void> =>
        until(() =>
          all.every(({ state }, n) => (n === 1 && member === 'm0') || state.get(member) === amount),
        );
      await Promise.all(all.map((watching) => watching.caughtUp()));
      const read = api.tables.changesCalls;
      const steps = [['m0'], ['m1', 'm0'], ['m0'], ['💷', '\uFFEE', 'm1'], [], ['m9', 'm1'], ['m0'], ['m1']];
      for (const [n, members] of steps.entries()) {
        const amount = BigInt(n) - 3n;
        const rows = members.map((member) => balanceRow(member, { available_minor: amount }));
        api.tables.commit(balance, at(11 + 2 * n), rows);
        for (const member of members.filter((one) => one !== '\uFFEE')) await see(member, amount);
        if (n !== 5) continue;
        // From here on in another making.
        api.tables.refold(balance, at(12 + 2 * n), [balanceRow('m1', { available_minor: 70n })]);
        await see('m1', 70n);
        await until(() => all.every(({ words }) => words.at(-1) === 'caughtUp'));
      }
      calls.push(api.tables.changesCalls - read);
      const messages = all.map((watching) =>
        watching.messages.map(({ header, event }) => [
          header?.sequence,
          tokens.decode(header?.positionToken ?? '')?.commit,
          event?.$case === 'caughtUp' ? undefined : event,
        ]),
      );
      for (const { call } of all) call.cancel();
      await nothingLeft();
      await api.close();
      return messages;
    };
    const calls: number[] = [];
    const told = await sent(() => true);
    expect(await sent(() => false)).toEqual(told);
    expect(await sent((commit) => commit % 4n === 1n)).toEqual(told);
    // One was told nearly everything, one read every commit, one half of them.
    expect(calls[0]).toBeLessThan(calls[2] ?? 0);
    expect(calls[2]).toBeLessThan(calls[1] ?? 0);
  });

  test('can be narrowed, and sees nothing else', async () => {
    await start();
    const watching = new Watching(api.accountQuery, { members: ['m1', 'm9'] });
    await watching.caughtUp();
    set(11, 'm0', 1n);
    set(12, 'm9', 2n);
    await until(() => watching.state.has('m9'));
    expect([...watching.state.keys()]).toEqual(['m1', 'm9']);
    expect(tokens.decode(watching.messages.at(-1)?.header?.positionToken ?? '')?.commit).toBe(12n);
  });

  test('of windows and of stock have the same form', async () => {
    await start();
    api.tables.commit(stock, at(10), [stockRow('mug', 7n), stockRow('cup', 1n)]);
    api.tables.commit(figures, at(10), [figuresRow(noon)]);
    const cases: string[] = [];
    const rows: object[] = [];
    const stockCall = api.itemQuery.watchStock(
      WatchStockRequest.fromPartial({ merchant: 'shop', skus: ['mug'] }),
    );
    stockCall.on('error', () => undefined);
    stockCall.on('data', ({ event }) => {
      cases.push(event.$case);
      if (event.$case === 'changes') rows.push(...event.value.stock);
    });
    const windowsCall = api.figuresQuery.watchWindows(
      WatchWindowsRequest.fromPartial({ length: WindowLength.DAY, from: noon }),
    );
    windowsCall.on('error', () => undefined);
    windowsCall.on('data', ({ event }) => {
      cases.push(event.$case);
      if (event.$case === 'changes') rows.push(...event.value.windows);
    });
    await until(() => cases.filter((word) => word === 'caughtUp').length === 2);
    expect(rows).toHaveLength(2);
    expect(rows).toContainEqual(expect.objectContaining({ sku: 'mug', onHand: 7n, changedAt: noon }));
    expect(rows).toContainEqual(
      expect.objectContaining({ start: noon, salesMinor: 12n, length: WindowLength.DAY }),
    );
  });

  test('waits for the token it is given', async () => {
    await start();
    const watching = new Watching(api.accountQuery, { atLeast: tokens.encode(at(20)) });
    await until(() => api.tables.waiterCount === 1);
    expect(watching.words).toEqual([]);
    set(20, 'm0', 42n);
    await watching.caughtUp();
    expect(watching.state.get('m0')).toBe(42n);
    const bad = new Watching(api.accountQuery, { atLeast: 'x' });
    await until(() => bad.ended !== undefined);
    expect(bad.ended).toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'POSITION_TOKEN_INVALID' });
  });

  test('says that it is alive, with a token that goes on', async () => {
    await start({ limits: { heartbeatMs: 40 } });
    const watching = new Watching(api.accountQuery, { members: ['m1'] });
    await watching.caughtUp();
    // Another member's row: nothing to send, but the token moves.
    set(15, 'm0', 1n);
    const last = () => watching.messages.at(-1);
    await until(
      () =>
        last()?.event?.$case === 'heartbeat' &&
        tokens.decode(last()?.header?.positionToken ?? '')?.commit === 15n,
    );
    const before = watching.messages.length;
    await until(() => watching.messages.length >= before + 2);
    expect(watching.words.slice(-2)).toEqual(['heartbeat', 'heartbeat']);
  });

  test('says that it is alive while its snapshot waits for its turn and for its pages', async () => {
    await start({ limits: { heartbeatMs: 40 } });
    const [turn, page] = [new AbortController(), new AbortController()];
    api.tables.beforeSnapshot = () => aborted(turn.signal);
    api.tables.beforePage = () => aborted(page.signal);
    const watching = new Watching(api.accountQuery);
    await until(() => watching.words.filter((word) => word === 'heartbeat').length >= 2);
    turn.abort();
    await until(() => watching.words.slice(watching.words.indexOf('snapshotStarted')).includes('heartbeat'));
    page.abort();
    await watching.caughtUp();
    expect(watching.state.size).toBe(3);
    expect(watching.messages.map(({ header }) => Number(header?.sequence))).toEqual(
      watching.messages.map((_, n) => n + 1),
    );
  });

  test('finds changes that nobody reported, at the next heartbeat', async () => {
    await start({ limits: { heartbeatMs: 40 } });
    const watching = new Watching(api.accountQuery);
    await watching.caughtUp();
    api.tables.deaf = true;
    set(11, 'm0', 5n);
    await until(() => watching.state.get('m0') === 5n);
    expect(watching.words).toContain('heartbeat');
  });

  test('says that it is alive while it collects changes', async () => {
    await start({ limits: { heartbeatMs: 40 } });
    const watching = new Watching(api.accountQuery, {
      watch: { conflationWindow: { seconds: 1n, nanos: 0 } },
    });
    await watching.caughtUp();
    set(11, 'm0', 1n);
    await until(() => watching.state.get('m0') === 1n);
    const collecting = watching.words.slice(watching.words.indexOf('caughtUp') + 1, -1);
    // One may have come before the change.
    expect(collecting.length).toBeGreaterThan(1);
    expect(new Set(collecting)).toEqual(new Set(['heartbeat']));
  });

  test('does not get again what its snapshot had of the changes that others get', async () => {
    await start();
    const first = new Watching(api.accountQuery);
    await first.caughtUp();
    api.tables.deaf = true;
    set(11, 'm0', 1n);
    const second = new Watching(api.accountQuery);
    await second.caughtUp();
    api.tables.deaf = false;
    set(12, 'm1', 2n);
    await until(() => first.state.get('m1') === 2n && second.state.get('m1') === 2n);
    expect(first.rowsPerMessage).toEqual([3, 2]);
    expect(second.rowsPerMessage).toEqual([3, 1]);
  });

  test('never gets a row as it was before what it has', async () => {
    await start();
    const first = new Watching(api.accountQuery);
    await first.caughtUp();
    let release = (): void => undefined;
    api.tables.held = new Promise<void>((resolve) => (release = resolve));
    set(11, 'm0', 1n);
    await until(() => api.tables.held === undefined);
    set(12, 'm0', 2n);
    const second = new Watching(api.accountQuery);
    await second.caughtUp();
    release();
    await until(() => first.state.get('m0') === 2n);
    set(13, 'm1', 3n);
    await until(() => second.state.get('m1') === 3n);
    expect(second.rowsPerMessage).toEqual([3, 1]);
    expect(second.state.get('m0')).toBe(2n);
  });

  test('misses nothing when the read model is exchanged and comes back before it looks', async () => {
    await start();
    const watching = new Watching(api.accountQuery, {
      watch: { conflationWindow: { seconds: 0n, nanos: 300e6 } },
    });
    await watching.caughtUp();
    set(11, 'm2', 1n);
    await until(() => watching.state.get('m2') === 1n);
    // The next look finds another making, and the one after that the one before.
    api.tables.tellsWritten = () => false;
    api.tables.pretended = 'another';
    set(12, 'm0', 1n);
    set(13, 'm1', 2n);
    await until(() => watching.state.get('m1') === 2n && watching.state.get('m0') === 1n);
    expect(watching.words).not.toContain('reset');
  });

  test('is resumed without a Reset where it is not known yet that another table serves', async () => {
    await start();
    const watching = new Watching(api.accountQuery);
    await watching.caughtUp();
    watching.call.cancel();
    const resumeToken = watching.messages.at(-1)?.header?.resumeToken ?? '';
    set(11, 'm0', 1n);
    // As far as the table was that served before.
    Object.assign(api.tables.progress, { through: () => Promise.resolve(at(5)) });
    const resumed = new Watching(api.accountQuery, { watch: { resumeToken } });
    const fresh = new Watching(api.accountQuery, { watch: { changesOnly: true } });
    await Promise.all([resumed.caughtUp(), fresh.caughtUp()]);
    expect(resumed.words).toEqual(['changes', 'caughtUp']);
    expect([...resumed.state]).toEqual([['m0', 1n]]);
    expect(fresh.words).toEqual(['caughtUp']);
  });

  test('many read the database once', async () => {
    await start();
    const watches = Array.from({ length: 50 }, () => new Watching(api.accountQuery));
    await Promise.all(watches.map((watching) => watching.caughtUp()));
    await delay(50);
    const before = api.tables.changesCalls;
    for (let n = 0; n < 20; n++) {
      set(100 + n, 'm0', BigInt(n));
      await delay(2);
    }
    await until(() => watches.every((watching) => watching.state.get('m0') === 19n));
    expect(api.tables.changesCalls - before).toBeLessThanOrEqual(45);
  });

  test('has limits in number', async () => {
    await start({ limits: { maxWatches: 2 } });
    const first = new Watching(api.accountQuery);
    const second = new Watching(api.accountQuery);
    await Promise.all([first.caughtUp(), second.caughtUp()]);
    const third = new Watching(api.accountQuery);
    await until(() => third.ended !== undefined);
    expect(third.ended).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      reason: 'TOO_MANY_WATCHES',
      types: ['ErrorInfo', 'QuotaFailure', 'RetryInfo'],
    });
    first.call.cancel();
    await until(() => first.ended !== undefined);
    await delay(20);
    await new Watching(api.accountQuery).caughtUp();
  });

  test('begins again when the read model was folded anew: what it said holds no longer', async () => {
    await start({ limits: { resetSpreadMs: 50 } });
    const watching = new Watching(api.accountQuery);
    await watching.caughtUp();
    set(20, 'm0', 20n);
    await until(() => watching.state.get('m0') === 20n);
    const before = watching.messages.length;
    // One row is gone, one is another one although its position is behind, and the whole is not as far.
    api.tables.refold(balance, at(9), [balanceRow('m0', { available_minor: 1n }), balanceRow('m2')]);
    await until(() => watching.words.slice(before).includes('caughtUp'));
    expect(watching.words.slice(before)).toEqual([
      'reset',
      'snapshotStarted',
      'changes',
      'snapshotCompleted',
      'caughtUp',
    ]);
    expect([...watching.state]).toEqual([
      ['m0', 1n],
      ['m2', 100n],
    ]);
    expect(watching.messages.map(({ header }) => Number(header?.sequence))).toEqual(
      watching.messages.map((_, n) => n + 1),
    );
    expect(
      watching.messages.slice(before).map(({ header }) => tokens.decode(header?.positionToken ?? '')?.commit),
    ).toEqual([undefined, undefined, undefined, 9n, 9n]);
    set(10, 'm1', 4n);
    await until(() => watching.state.get('m1') === 4n);
    watching.call.cancel();
    await nothingLeft();
  });

  test('that is being told to begin again can go away, and one that comes then sees only what is new', async () => {
    await start({ limits: { resetSpreadMs: 60_000 } });
    const watches = Array.from({ length: 20 }, () => new Watching(api.accountQuery));
    await Promise.all(watches.map((watching) => watching.caughtUp()));
    api.tables.refold(balance, at(10), [balanceRow('m7')]);
    await until(() => watches.every(({ words }) => words.includes('reset')));
    const fresh = new Watching(api.accountQuery);
    await fresh.caughtUp();
    expect([...fresh.state.keys()]).toEqual(['m7']);
    for (const { call } of [...watches, fresh]) call.cancel();
    await nothingLeft();
  });

  test('ends at its deadline, and gives everything back', async () => {
    await start();
    const watching = new Watching(api.accountQuery, { deadline: Date.now() + 200 });
    await watching.caughtUp();
    await until(() => watching.ended !== undefined);
    expect(watching.ended?.code).toBe('DEADLINE_EXCEEDED');
    await nothingLeft();
  });

  test('that fails inside is INTERNAL, without the text', async () => {
    await start();
    api.tables.failure = new Error('secret');
    const watching = new Watching(api.accountQuery);
    await until(() => watching.ended !== undefined);
    expect(watching.ended).toMatchObject({ code: 'INTERNAL', metadata: { error_id: 'error-1' } });
    expect(watching.ended?.message).not.toContain('secret');
    api.tables.failure = undefined;
    await new Watching(api.accountQuery).caughtUp();
  });
});

describe('a client that does not read', () => {
  /** Buffers little of what it does not read. */
  const smallWindow = () =>
    api.connect(AccountQueryServiceClient, { 'grpc-node.flow_control_window': 65_535 });

  /** Stalls a watch behind a flood of changes. */
  async function stall(): Promise<Watching> {
    const slow = new Watching(smallWindow(), { paused: true });
    await until(() => api.tables.listenerCount('projection:balance') === 1);
    for (let n = 0; n < 3_000; n++) {
      api.tables.commit(
        balance,
        at(100 + n),
        Array.from({ length: 20 }, (_, m) => balanceRow(`m${m}`, { available_minor: BigInt(n) })),
      );
      if (n % 20 === 0) await delay(1);
    }
    return slow;
  }

  test('stalls alone, and gets the rows as they are when it reads again', async () => {
    await start({ limits: { heartbeatMs: 60_000 } });
    const healthy = new Watching(api.accountQuery);
    await healthy.caughtUp();
    const slow = await stall();
    await until(() => healthy.state.get('m5') === 2_999n);
    const calls = api.tables.changesCalls;
    await delay(30);
    // Nothing is fetched for it meanwhile.
    expect(api.tables.changesCalls).toBe(calls);
    slow.read();
    await until(() => slow.state.get('m5') === 2_999n && slow.state.size === 20);
    expect(slow.state).toEqual(healthy.state);
    // What changed 3,000 times came a few hundred times at most: the rest was never sent.
    expect(slow.messages.length).toBeLessThan(600);
    expect(slow.messages.map(({ header }) => Number(header?.sequence))).toEqual(
      slow.messages.map((_, n) => n + 1),
    );
  });

  test('leaves nothing behind when it cancels', async () => {
    await start();
    const slow = await stall();
    slow.call.cancel();
    await nothingLeft();
    expect(slow.ended?.code).toBe('CANCELLED');
  });

  test('leaves nothing behind when its connection is cut', async () => {
    await start();
    const { target, cut } = await cuttable(api.address);
    const client = new AccountQueryServiceClient(target, credentials.createInsecure());
    const slow = new Watching(client, { paused: true });
    await until(() => api.tables.listenerCount('projection:balance') === 1);
    for (let n = 0; n < 200; n++) {
      api.tables.commit(balance, at(100 + n), [balanceRow('m1', { available_minor: BigInt(n) })]);
      await delay(1);
    }
    cut();
    await nothingLeft();
    await until(() => slow.ended !== undefined);
    expect(slow.ended?.code).toBe('UNAVAILABLE');
    client.close();
  });

  test('may not hold up a snapshot', async () => {
    await start({ limits: { snapshotStallMs: 1_000, maxSnapshots: 1 } }, 30_000);
    // Some hundred messages pass before anything holds them up.
    api.tables.snapshotPage = 50;
    const slow = new Watching(smallWindow(), { paused: true });
    await until(() => api.tables.openSnapshots === 1);
    const other = new Watching(api.accountQuery);
    await other.caughtUp();
    expect(other.state.size).toBe(30_000);
    // At once, although it does not read: what it held is free.
    await until(() => slow.ended !== undefined);
    expect(slow.ended?.code).toBe('RESOURCE_EXHAUSTED');
    expect(slow.words).not.toContain('snapshotCompleted');
    other.call.cancel();
    await nothingLeft();
  });

  test('loses the watch when it takes nothing for too long, however alive it is', async () => {
    await start({ limits: { writeStallMs: 100 } });
    const slow = new Watching(smallWindow(), { paused: true });
    await until(() => api.tables.listenerCount('projection:balance') === 1);
    for (let n = 0; slow.ended === undefined; n++) {
      const rows = Array.from({ length: 200 }, (_, m) => balanceRow(`m${m}`, { available_minor: BigInt(n) }));
      api.tables.commit(balance, at(100 + n), rows);
      await delay(1);
    }
    expect(slow.ended).toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
    await nothingLeft();
  });

  test('does not delay a stop beyond the grace', async () => {
    await start();
    await stall();
    const started = Date.now();
    await api.server.stop(300);
    expect(Date.now() - started).toBeLessThan(2_000);
    await nothingLeft();
  });
});

test('random clients that come and go all end in the state of the table', async () => {
  await start({}, 40);
  let position = 100;
  let seed = 7;
  const random = (most: number): number => (seed = (seed * 48_271) % 2_147_483_647) % most;
  const truth = new Map(Array.from({ length: 40 }, (_, n) => [`m${n}`, 100n]));
  const open: Watching[] = [];
  for (let round = 0; round < 400; round++) {
    const rows = Array.from({ length: 1 + random(5) }, () => {
      const member = `m${random(40)}`;
      const amount = BigInt(random(1_000_000));
      truth.set(member, amount);
      return balanceRow(member, { available_minor: amount });
    });
    api.tables.commit(balance, at(++position), rows);
    if (random(10) === 0) open.push(new Watching(api.accountQuery));
    if (random(20) === 0) open.splice(random(open.length + 1), 1)[0]?.call.cancel();
    if (random(3) === 0) await delay(0);
  }
  await until(() =>
    open.every(({ state }) => [...truth].every(([member, amount]) => state.get(member) === amount)),
  );
  expect(open.length).toBeGreaterThan(5);
  const { balance: one } = await answered(api.accountQuery, api.accountQuery.getBalance, {
    member: 'm0',
    currency: 'EUR',
    consistency: undefined,
  });
  expect(one?.availableMinor).toBe(truth.get('m0'));
});
