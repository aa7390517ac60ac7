/**
 * Watches in numbers, under floods, and against clients that stall. Sizes grow by environment:
 * WATCH_IDLE (10,000), WATCH_HOT (200 of 1,000), WATCH_CHANGES (40,000 of 200,000), WATCH_STAMPEDE (150 of 500).
 */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { StreamCall } from '../../src/api/call.ts';
import {
  AccountQueryServiceClient,
  Balance,
} from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import { balance } from '../../src/projections/index.ts';
import { gate } from './support/bus.ts';
import { balanceRow } from './support/requests.ts';
import { startTestApi, type TestApi, until } from './support/server.ts';
import { headerFaults } from './support/streaming.ts';
import { at } from './support/tables.ts';
import { Watching } from './support/watching.ts';

const sizeOf = (name: string, short: number): number => Number(process.env[name] ?? short);
const patience = 120_000;

let api: TestApi;
afterEach(async () => {
  vi.restoreAllMocks();
  await api.close();
});

async function start(limits: NonNullable<Parameters<typeof startTestApi>[0]>['limits'] = {}, members = 3) {
  api = await startTestApi({ limits });
  api.state.head = at(1_000_000);
  api.tables.commit(
    balance,
    at(10),
    Array.from({ length: members }, (_, n) => balanceRow(`m${n}`)),
  );
}

const watches = (): number => api.tables.listenerCount('projection:balance');
const nothingLeft = (): Promise<void> =>
  until(() => api.tables.openSnapshots === 0 && watches() === 0, patience);

/** Buffers little of what it does not read. */
const smallWindow = (): AccountQueryServiceClient =>
  api.connect(AccountQueryServiceClient, { 'grpc-node.flow_control_window': 65_535 });

/** Bytes handed to each stream so far: what a client has not taken of them is what the server holds for it. */
function countWrites(): Map<StreamCall, number> {
  const written = new Map<StreamCall, number>();
  const { write } = StreamCall.prototype;
  vi.spyOn(StreamCall.prototype, 'write').mockImplementation(function (
    this: StreamCall,
    message: Uint8Array,
  ) {
    written.set(this, (written.get(this) ?? 0) + message.length);
    return write.call(this, message);
  });
  return written;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('20 stalled watchers beside 20 healthy ones: the healthy get everything, the stalled cost nothing', async () => {
  await start({ heartbeatMs: 60_000 }, 0);
  const written = countWrites();
  const members = Array.from({ length: 20 }, (_, n) => `m${n}`);
  const healthy = members.map(() => new Watching(api.accountQuery));
  // Named, so that what is read for them can be told apart.
  const stalled = members.map(() => new Watching(smallWindow(), { members, paused: true }));
  await Promise.all(healthy.map((watching) => watching.caughtUp()));
  await until(() => stalled.every(({ messages }) => messages.length > 0));
  const filtered = vi.spyOn(api.tables, 'changes');
  const readForStalled = (): number =>
    filtered.mock.calls.filter(([, filter]) => Object.keys(filter).length > 0).length;
  const commit = async (from: number, count: number): Promise<void> => {
    for (let n = from; n < from + count; n++) {
      api.tables.commit(
        balance,
        at(100 + n),
        members.map((member) => balanceRow(member, { available_minor: BigInt(n) })),
      );
      if (n % 10 === 0) await turn();
    }
    await until(() => healthy.every(({ state }) => state.get('m7') === BigInt(from + count - 1)), patience);
  };
  const least = (): [StreamCall, number][] =>
    [...written.entries()].toSorted((a, b) => a[1] - b[1]).slice(0, stalled.length);
  // How much is under way before they stall is a matter of buffers here and there. From then on what they hold must not
  // grow, however much more there is.
  let sent = 0;
  let before: [StreamCall, number][];
  let reads: number;
  do {
    before = least();
    reads = readForStalled();
    await commit(sent, 2_000);
    sent += 2_000;
  } while (sent < 20_000 && before.some(([call, bytes]) => written.get(call) !== bytes));
  for (const [call, bytes] of before) expect(written.get(call)).toBe(bytes);
  expect(readForStalled()).toBe(reads);
  for (const [, bytes] of before) expect(bytes).toBeLessThan(2 << 20);
  // Reading again, they have it all in few messages.
  for (const watching of stalled) watching.read();
  await until(() => stalled.every(({ state }) => state.get('m7') === BigInt(sent - 1)), patience);
  for (const one of [...healthy, ...stalled]) {
    expect(one.state).toEqual(healthy[0]?.state);
    expect(headerFaults(one.messages)).toEqual([]);
  }
  for (const { call } of [...healthy, ...stalled]) call.cancel();
  await nothingLeft();
});

test('idle watches in thousands: a commit that concerns one of them is read once and wakes that one', async () => {
  const count = sizeOf('WATCH_IDLE', 2_000);
  const perConnection = 500;
  await start({ heartbeatMs: 3_600_000, maxWatches: count, maxWatchesPerClient: count }, 0);
  const clients = Array.from({ length: Math.ceil(count / perConnection) }, () =>
    api.connect(AccountQueryServiceClient),
  );
  const open: Watching[] = [];
  for (const client of clients) {
    const some = Array.from(
      { length: Math.min(perConnection, count - open.length) },
      (_, n) => new Watching(client, { members: [`m${open.length + n}`] }),
    );
    await until(() => some.every(({ words }) => words.includes('caughtUp')), patience);
    open.push(...some);
  }
  expect(open).toHaveLength(count);
  await turn();
  api.tables.tellsWritten = () => false;
  const read = vi.spyOn(api.tables, 'changes');
  const writes = vi.spyOn(StreamCall.prototype, 'write');
  const encodes = vi.spyOn(Balance, 'encode');
  for (let n = 0; n < 5; n++) {
    const one = Math.floor((n * count) / 5);
    api.tables.commit(balance, at(100 + n), [balanceRow(`m${one}`, { available_minor: 7n })]);
    await until(() => open[one]?.state.get(`m${one}`) === 7n);
  }
  expect(writes).toHaveBeenCalledTimes(5);
  expect(encodes).toHaveBeenCalledTimes(5);
  expect(read).toHaveBeenCalledTimes(5);
  // A commit that concerns nobody wakes nobody.
  api.tables.commit(balance, at(200), [balanceRow('nobody')]);
  await until(() => read.mock.calls.length === 6);
  await turn();
  expect(writes).toHaveBeenCalledTimes(5);
  // One that is told by its writer is not read at all.
  api.tables.tellsWritten = () => true;
  api.tables.commit(balance, at(201), [balanceRow('m1', { available_minor: 8n })]);
  await until(() => open[1]?.state.get('m1') === 8n);
  expect(read).toHaveBeenCalledTimes(6);
  expect(writes).toHaveBeenCalledTimes(6);
  for (const { call } of open) call.cancel();
  await nothingLeft();
}, 300_000);

test('silent watches in hundreds look for unreported changes together, not each for itself', async () => {
  await start({ heartbeatMs: 400 });
  const open = Array.from({ length: 300 }, () => new Watching(api.accountQuery));
  await Promise.all(open.map((watching) => watching.caughtUp()));
  const beats = (): number =>
    open.reduce((sum, { words }) => sum + words.filter((word) => word === 'heartbeat').length, 0);
  const read = vi.spyOn(api.tables, 'changes');
  const before = beats();
  await until(() => beats() - before >= 900, patience);
  expect(read.mock.calls.length).toBeLessThan(60);
  // And find them all the same.
  api.tables.deaf = true;
  api.tables.commit(balance, at(11), [balanceRow('m0', { available_minor: 5n })]);
  await until(() => open.every(({ state }) => state.get('m0') === 5n), patience);
});

test('a hot key in many watches is encoded once per commit, and all converge', async () => {
  const count = sizeOf('WATCH_HOT', 200);
  await start({ heartbeatMs: 3_600_000 }, 1);
  const clients = Array.from({ length: Math.ceil(count / 500) }, () =>
    api.connect(AccountQueryServiceClient),
  );
  const open = Array.from({ length: count }, (_, n) => {
    const client = clients[n % clients.length];
    if (!client) throw new Error('no client');
    return new Watching(client, { members: ['m0'] });
  });
  await until(() => open.every(({ words }) => words.includes('caughtUp')), patience);
  const encodes = vi.spyOn(Balance, 'encode');
  for (let n = 0; n < 20; n++) {
    api.tables.commit(balance, at(100 + n), [balanceRow('m0', { available_minor: BigInt(n) })]);
    await until(() => open.every(({ state }) => state.get('m0') === BigInt(n)), patience);
  }
  expect(encodes).toHaveBeenCalledTimes(20);
  // Without pauses: less is sent, and nothing lost.
  for (let n = 20; n < 300; n++) {
    api.tables.commit(balance, at(100 + n), [balanceRow('m0', { available_minor: BigInt(n) })]);
    if (n % 7 === 0) await turn();
  }
  await until(() => open.every(({ state }) => state.get('m0') === 299n), patience);
  expect(encodes.mock.calls.length).toBeLessThanOrEqual(300);
  for (const one of open) expect(headerFaults(one.messages)).toEqual([]);
}, 300_000);

test('a flood of changes to a client that reads nothing is bounded, and it ends with the exact state', async () => {
  const changes = sizeOf('WATCH_CHANGES', 40_000);
  await start({ heartbeatMs: 3_600_000 }, 500);
  const written = countWrites();
  const slow = new Watching(smallWindow(), { paused: true });
  await until(() => watches() === 1 && slow.messages.length > 0);
  const truth = new Map<string, bigint>();
  const perCommit = 40;
  for (let n = 0; n < changes / perCommit; n++) {
    const rows = Array.from({ length: perCommit }, (_, m) => {
      const member = `m${(n * perCommit + m * 7) % 500}`;
      truth.set(member, BigInt(n));
      return balanceRow(member, { available_minor: BigInt(n) });
    });
    api.tables.commit(balance, at(100 + n), rows);
    if (n % 5 === 0) await turn();
  }
  const [bytes = 0] = written.values();
  expect(bytes).toBeLessThan(2 << 20);
  slow.read();
  await until(() => [...truth].every(([member, amount]) => slow.state.get(member) === amount), patience);
  expect(slow.state.size).toBe(500);
  expect(slow.messages.length).toBeLessThan(1_500);
  expect(headerFaults(slow.messages)).toEqual([]);
  // Whoever is told that it fell behind is told when that is over.
  const told = (): string[] => slow.words.filter((word) => /caughtUp|fellBehind/.test(word));
  await until(() => told().at(-1) === 'caughtUp');
}, 300_000);

test('a stampede through a Reset: never more snapshots at once than may be, and all end in the new state', async () => {
  const count = sizeOf('WATCH_STAMPEDE', 150);
  await start({ maxSnapshots: 4, resetSpreadMs: 500 });
  const open = Array.from({ length: count }, () => new Watching(api.accountQuery));
  await until(() => open.every(({ words }) => words.includes('caughtUp')), patience);
  let most = 0;
  let snapshots = 0;
  api.tables.beforePage = async () => {
    snapshots++;
    most = Math.max(most, api.tables.openSnapshots);
    await turn();
    most = Math.max(most, api.tables.openSnapshots);
  };
  api.tables.refold(balance, at(9), [balanceRow('m7', { available_minor: 3n })]);
  await until(() => open.every(({ state }) => state.get('m7') === 3n && state.size === 1), patience);
  expect(most).toBeLessThanOrEqual(4);
  expect(snapshots).toBe(count);
  for (const one of open) {
    expect(one.words.filter((word) => word === 'reset')).toHaveLength(1);
    expect(headerFaults(one.messages)).toEqual([]);
  }
  for (const { call } of open) call.cancel();
  await nothingLeft();
}, 300_000);

describe('places', () => {
  const tooMany = { code: 'RESOURCE_EXHAUSTED', reason: 'TOO_MANY_WATCHES' };

  test.each<[string, Parameters<typeof start>[0]]>([
    ['in all', { maxWatches: 3 }],
    ['of one client, however many connections it has', { maxWatchesPerClient: 3 }],
  ])('are limited %s, and given back however a watch ends', async (_, limits) => {
    await start({ ...limits, writeStallMs: 150, heartbeatMs: 3_600_000 });
    const fill = async (): Promise<Watching[]> => {
      const three = Array.from({ length: 3 }, () => new Watching(api.connect(AccountQueryServiceClient)));
      await Promise.all(three.map((watching) => watching.caughtUp()));
      const one = new Watching(api.accountQuery);
      await until(() => one.ended !== undefined);
      expect(one.ended).toMatchObject({ ...tooMany, types: ['ErrorInfo', 'QuotaFailure', 'RetryInfo'] });
      return three;
    };
    // By cancelling.
    for (const { call } of await fill()) call.cancel();
    await nothingLeft();
    // By a refusal, before anything began.
    for (let n = 0; n < 4; n++) {
      const refused = new Watching(api.accountQuery, { watch: { resumeToken: 'x' } });
      await until(() => refused.ended !== undefined);
      expect(refused.ended?.code).toBe('INVALID_ARGUMENT');
    }
    // By a deadline.
    const short = Array.from(
      { length: 3 },
      () => new Watching(api.accountQuery, { deadline: Date.now() + 1_500 }),
    );
    await until(() => short.every(({ ended }) => ended !== undefined));
    await nothingLeft();
    // By a failure inside.
    const failing = await fill();
    api.tables.failure = new Error('broken');
    api.tables.commit(balance, at(50), [balanceRow('m0', { available_minor: 50n })]);
    for (const { call } of failing) call.cancel();
    await nothingLeft();
    api.tables.failure = undefined;
    // By reading nothing.
    const slow = Array.from({ length: 3 }, () => new Watching(smallWindow(), { paused: true }));
    await until(() => watches() === 1 && slow.every(({ messages }) => messages.length > 0));
    for (let n = 0; !slow.every(({ ended }) => ended !== undefined); n++) {
      const rows = Array.from({ length: 200 }, (__, m) =>
        balanceRow(`m${m}`, { available_minor: BigInt(n) }),
      );
      api.tables.commit(balance, at(100 + n), rows);
      await turn();
    }
    await nothingLeft();
    for (const { call } of await fill()) call.cancel();
    await nothingLeft();
  });
});

describe('a snapshot', () => {
  test('that the database is slow with is not held against the client', async () => {
    await start({ snapshotStallMs: 60 }, 1_000);
    const { opened, open } = gate();
    let pages = 0;
    api.tables.beforePage = async () => {
      pages++;
      if (pages === 2) await opened;
    };
    const watching = new Watching(api.accountQuery);
    await until(() => pages === 2);
    await new Promise((resolve) => setTimeout(resolve, 300));
    open();
    await until(() => watching.ended !== undefined || watching.words.includes('caughtUp'));
    expect(watching.ended).toBeUndefined();
    expect(watching.state.size).toBe(1_000);
  });
});
