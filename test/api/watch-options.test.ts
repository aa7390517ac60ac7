/** What a client may ask of a watch: going on where it was, no snapshot, fewer messages, to be told of a position. */
import { afterEach, describe, expect, test } from 'vitest';
import { sealWith } from '../../src/application/seal.ts';
import {
  AccountQueryServiceClient,
  WatchStatementRequest,
  type WatchStatementResponse,
} from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import { ResetReason, RemovalReason, type WatchOptions } from '../../src/gen/tallyback/common/v1/watch.ts';
import { WatchStockRequest } from '../../src/gen/tallyback/item/v1/item_query_service.ts';
import {
  OrderStatus,
  WatchOrdersRequest,
  type WatchOrdersResponse,
} from '../../src/gen/tallyback/order/v1/order_query_service.ts';
import { balance, orders, statement } from '../../src/projections/index.ts';
import type { StatementRow } from '../../src/projections/statement/statement.ts';
import { balanceRow, noon } from './support/requests.ts';
import { orderRow } from './support/rows.ts';
import { startTestApi, type TestApi, tokens, until } from './support/server.ts';
import { headerFaults, Streaming } from './support/streaming.ts';
import { at } from './support/tables.ts';
import { Watching } from './support/watching.ts';

let api: TestApi;
afterEach(() => api.close());

async function start(limits: NonNullable<Parameters<typeof startTestApi>[0]>['limits'] = {}, members = 3) {
  api = await startTestApi({ limits });
  api.state.head = at(10);
  api.tables.commit(
    balance,
    at(10),
    Array.from({ length: members }, (_, n) => balanceRow(`m${n}`)),
  );
}

const set = (position: number, member: string, amount: bigint): void => {
  api.state.head = at(position);
  api.tables.commit(balance, at(position), [balanceRow(member, { available_minor: amount })]);
};

const open: Watching[] = [];
const watch = (options: Partial<WatchOptions> = {}, members: string[] = []): Watching => {
  const watching = new Watching(api.accountQuery, { members, watch: options });
  open.push(watching);
  return watching;
};
afterEach(() => {
  const faults = open.splice(0).flatMap(({ messages }) => headerFaults(messages));
  if (faults.length > 0) throw new Error(faults.join('; '));
});

const resumeTokenOf = ({ messages }: Watching): string =>
  messages.findLast(({ header }) => header?.resumeToken)?.header?.resumeToken ?? '';

/** A token as of position 10, and nobody watching. */
async function leave(members: string[] = []): Promise<string> {
  const watching = watch({}, members);
  await watching.caughtUp();
  watching.call.cancel();
  await until(() => api.tables.listenerCount('projection:balance') === 0);
  return resumeTokenOf(watching);
}

describe('a resume token', () => {
  test('gives exactly what was missed, and no snapshot', async () => {
    await start();
    const resumeToken = await leave();
    set(11, 'm0', 1n);
    set(12, 'm1', 2n);
    set(13, 'm0', 3n);
    const again = watch({ resumeToken });
    await again.caughtUp();
    expect(again.words).toEqual(['changes', 'caughtUp']);
    expect(again.state).toEqual(
      new Map([
        ['m0', 3n],
        ['m1', 2n],
      ]),
    );
    // Nothing was missed: nothing comes.
    const third = watch({ resumeToken: resumeTokenOf(again) });
    await third.caughtUp();
    expect(third.words).toEqual(['caughtUp']);
    set(14, 'm2', 9n);
    await until(() => third.state.get('m2') === 9n);
  });

  test('does so also when what was missed has left the memory, while others watch', async () => {
    await start({}, 0);
    const other = watch();
    await other.caughtUp();
    const resumeToken = resumeTokenOf(other);
    for (let n = 0; n < 600; n++) {
      set(100 + n, `m${n % 300}`, BigInt(n));
      // A commit each, so that they are segments each.
      if (n % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => other.state.get('m299') === 599n);
    const again = watch({ resumeToken });
    await again.caughtUp();
    expect(again.words).not.toContain('snapshotStarted');
    expect(again.state).toEqual(other.state);
    expect(again.rowsPerMessage.reduce((sum, count) => sum + count, 0)).toBe(300);
  });

  test('may come from any message that has one, and loses nothing after it', async () => {
    await start();
    const whole = watch();
    await whole.caughtUp();
    for (let n = 0; n < 20; n++) {
      set(20 + n, `m${n % 3}`, BigInt(n));
      await until(() => whole.state.get(`m${n % 3}`) === BigInt(n));
    }
    for (const [n, { header }] of whole.messages.entries()) {
      const resumeToken = header?.resumeToken ?? '';
      if (resumeToken === '') continue;
      // What a client has that saw the messages up to this one.
      const state = new Map<string, bigint>();
      const take = (messages: typeof whole.messages): void => {
        for (const { event } of messages)
          if (event?.$case === 'changes')
            for (const row of event.value.balances) state.set(row.member, row.availableMinor);
      };
      take(whole.messages.slice(0, n + 1));
      const again = watch({ resumeToken });
      await again.caughtUp();
      take(again.messages);
      expect(state).toEqual(whole.state);
      again.call.cancel();
    }
  });

  test('that is forged, cut, of another installation, filter or watch is refused, and says which', async () => {
    await start();
    const mine = await leave(['m1']);
    const scope = mine.slice(0, mine.indexOf('.') + 1);
    const middle = scope.length + 20;
    const flipped = `${mine.slice(0, middle)}${mine[middle] === 'A' ? 'B' : 'A'}${mine.slice(middle + 1)}`;
    const foreignSeal = sealWith(Buffer.from('another key'), 'test-store').close(
      'resume',
      JSON.stringify(['projection:balance', '1', '10/10']),
    );
    const invalid = [
      'x',
      '.',
      scope,
      mine.slice(scope.length),
      mine.slice(0, -1),
      `${mine}A`,
      flipped,
      `${scope}${foreignSeal}`,
      // A token for queries is none for watches.
      `${scope}${tokens.encode(at(10))}`,
      tokens.encode(at(10)),
    ];
    for (const resumeToken of invalid) {
      const refused = watch({ resumeToken }, ['m1']);
      await until(() => refused.ended !== undefined);
      expect({ resumeToken, ended: refused.ended }).toMatchObject({
        ended: { code: 'INVALID_ARGUMENT', reason: 'RESUME_TOKEN_INVALID', fields: ['options.resume_token'] },
      });
    }
    for (const members of [[], ['m2'], ['m1', 'm2']]) {
      const refused = watch({ resumeToken: mine }, members);
      await until(() => refused.ended !== undefined);
      expect(refused.ended).toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'RESUME_TOKEN_FOREIGN' });
    }
    const stock = new Streaming(
      api.itemQuery.watchStock(WatchStockRequest.fromPartial({ options: { resumeToken: mine } })),
    );
    await until(() => stock.ended !== undefined);
    expect(stock.ended).toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'RESUME_TOKEN_FOREIGN' });
    const long = watch({ resumeToken: 'x'.repeat(1_025) });
    await until(() => long.ended !== undefined);
    expect(long.ended).toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'INVALID_REQUEST' });
    expect(api.tables.listenerCount('projection:balance')).toBe(0);
  });

  test('of a read model that was folded anew since brings a Reset that says so, or OUT_OF_RANGE', async () => {
    await start({ resetSpreadMs: 1 });
    const resumeToken = await leave();
    api.tables.refold(balance, at(12), [balanceRow('m7', { available_minor: 1n })]);
    const again = watch({ resumeToken });
    await again.caughtUp();
    expect(again.words).toEqual(['reset', 'snapshotStarted', 'changes', 'snapshotCompleted', 'caughtUp']);
    expect(again.messages[0]?.event).toMatchObject({ value: { reason: ResetReason.TOKEN_OUTDATED } });
    expect([...again.state]).toEqual([['m7', 1n]]);
    const strict = watch({ resumeToken, failOnReset: true });
    await until(() => strict.ended !== undefined);
    expect(strict.ended).toMatchObject({ code: 'OUT_OF_RANGE', reason: 'RESUME_TOKEN_OUTDATED' });
    expect(strict.messages).toEqual([]);
    // Under way it is another reason.
    api.tables.refold(balance, at(13), [balanceRow('m8')]);
    await until(() => again.state.has('m8'));
    expect(again.messages.filter(({ event }) => event?.$case === 'reset').at(-1)?.event).toMatchObject({
      value: { reason: ResetReason.REBUILT },
    });
  });

  test('ahead of the table, which was set back, brings a Reset, or OUT_OF_RANGE', async () => {
    await start({ resetSpreadMs: 1 });
    const resumeToken = await leave();
    api.tables.advance('projection:balance', at(5));
    const strict = watch({ resumeToken, failOnReset: true });
    await until(() => strict.ended !== undefined);
    expect(strict.ended).toMatchObject({ code: 'OUT_OF_RANGE', reason: 'RESUME_TOKEN_OUTDATED' });
    const again = watch({ resumeToken });
    await again.caughtUp();
    expect(again.words[0]).toBe('reset');
    expect(again.state.size).toBe(3);
  });
});

describe('changes_only', () => {
  test('has no snapshot, and everything from then on', async () => {
    await start();
    const watching = watch({ changesOnly: true });
    await watching.caughtUp();
    expect(watching.words).toEqual(['caughtUp']);
    set(11, 'm0', 4n);
    await until(() => watching.state.size === 1);
    expect([...watching.state]).toEqual([['m0', 4n]]);
    // A Reset brings a snapshot all the same.
    api.tables.refold(balance, at(12), [balanceRow('m7')]);
    await until(() => watching.words.includes('snapshotCompleted'));
    expect([...watching.state.keys()]).toEqual(['m7']);
  });
});

describe('conflation_window', () => {
  test('100 changes of a key in it are few messages, with the last state', async () => {
    await start();
    const watching = watch({ conflationWindow: { seconds: 1n, nanos: 0 } });
    const plain = watch();
    await Promise.all([watching.caughtUp(), plain.caughtUp()]);
    const before = watching.messages.length;
    for (let n = 1; n <= 100; n++) {
      set(10 + n, 'm0', BigInt(n));
      await until(() => plain.state.get('m0') === BigInt(n));
    }
    await until(() => watching.state.get('m0') === 100n);
    // As many as windows passed at most, however slow the machine: each message had a window before it.
    expect(watching.messages.length - before).toBeLessThan(20);
    expect(plain.rowsPerMessage.length).toBeGreaterThan(100);
  });

  test("longer than the heartbeat's interval does not keep the heartbeats back", async () => {
    await start({ heartbeatMs: 100 });
    const watching = watch({ conflationWindow: { seconds: 2n, nanos: 0 } });
    await watching.caughtUp();
    set(11, 'm0', 1n);
    await until(() => watching.state.get('m0') === 1n);
    const collected = watching.words.slice(
      watching.words.indexOf('caughtUp') + 1,
      watching.words.lastIndexOf('changes'),
    );
    expect(collected.length).toBeGreaterThan(5);
    expect(new Set(collected)).toEqual(new Set(['heartbeat']));
    // None of them says that the change had been sent.
    for (const { header, event } of watching.messages) {
      if (event?.$case !== 'heartbeat' || header?.positionToken === '') continue;
      expect(tokens.decode(header?.positionToken ?? '')?.commit).toBe(10n);
    }
  });

  test('is no pause between the pieces of what a client has to catch up with', async () => {
    await start({ heartbeatMs: 3_600_000 }, 0);
    const watching = watch({ conflationWindow: { seconds: 3n, nanos: 0 } });
    await watching.caughtUp();
    // More than is kept in memory: some 21 pieces. With a pause for each the time would be up.
    api.tables.commit(
      balance,
      at(20),
      Array.from({ length: 5_300 }, (_, n) => balanceRow(`x${n}`)),
    );
    await until(() => watching.state.size === 5_300, 25_000);
  });
});

describe('not_caught_up_before', () => {
  test('holds CaughtUp back, also when nothing that matches changes', async () => {
    await start({ heartbeatMs: 3_600_000 });
    api.state.head = at(20);
    const watching = watch({ notCaughtUpBefore: tokens.encode(at(20)) }, ['m1']);
    await until(() => watching.words.includes('snapshotCompleted'));
    set(15, 'm1', 1n);
    await until(() => watching.state.get('m1') === 1n);
    expect(watching.words).not.toContain('caughtUp');
    // Another's row.
    set(20, 'm2', 1n);
    await watching.caughtUp();
    expect(tokens.decode(watching.messages.at(-1)?.header?.positionToken ?? '')?.commit).toBe(20n);
  });

  test('comes at once when it is already in, and not at all for a position that the log has not', async () => {
    await start();
    await watch({ notCaughtUpBefore: tokens.encode(at(10)) }).caughtUp();
    const ahead = watch({ notCaughtUpBefore: tokens.encode(at(11)) });
    await until(() => ahead.ended !== undefined);
    expect(ahead.ended).toMatchObject({ code: 'OUT_OF_RANGE', reason: 'POSITION_UNKNOWN' });
    const forged = watch({ notCaughtUpBefore: 'x' });
    await until(() => forged.ended !== undefined);
    expect(forged.ended).toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'POSITION_TOKEN_INVALID' });
  });
});

describe('a read model that stops', () => {
  test('is told with FellBehind and how long, once; CaughtUp when it goes on', async () => {
    await start({ lagMs: 30, heartbeatMs: 100 });
    const watching = watch();
    await watching.caughtUp();
    const words = (): string[] => watching.words.filter((word) => word !== 'heartbeat');
    const before = words().length;
    // The log goes on, the read model does not.
    api.state.head = at(50);
    await until(() => words().length > before);
    expect(words().slice(before)).toEqual(['fellBehind']);
    const fell = watching.messages.find(({ event }) => event?.$case === 'fellBehind')?.event;
    expect(fell).toMatchObject({ value: { lag: expect.anything() } });
    const beats = watching.messages.length;
    await until(() => watching.messages.length > beats + 3);
    expect(words().slice(before)).toEqual(['fellBehind']);
    // It has nothing for this client, and is there.
    api.tables.advance('projection:balance', at(50));
    await until(() => words().length > before + 1);
    expect(words().slice(before)).toEqual(['fellBehind', 'caughtUp']);
    // A log that cannot be asked is one that nobody keeps up with.
    api.state.headFailure = new Error('no log');
    await until(() => words().length > before + 2);
    api.state.headFailure = undefined;
    await until(() => words().length > before + 3);
    expect(words().slice(before)).toEqual(['fellBehind', 'caughtUp', 'fellBehind', 'caughtUp']);
  });

  test('is not one that only seems to, because the log has nothing for it', async () => {
    await start({ lagMs: 30, heartbeatMs: 50 });
    const watching = watch({}, ['m1']);
    await watching.caughtUp();
    const commits: bigint[] = [];
    // Only other rows change, and some of it is nothing to this read model: the token moves on all the same.
    for (let n = 11; n < 21; n++) {
      api.state.head = at(n);
      if (n % 2 === 0) set(n, 'm2', BigInt(n));
      else api.tables.advance('projection:balance', at(n));
      await until(
        () => tokens.decode(watching.messages.at(-1)?.header?.positionToken ?? '')?.commit === BigInt(n),
      );
    }
    for (const { header, event } of watching.messages.slice(watching.words.indexOf('caughtUp') + 1)) {
      expect(['heartbeat', 'fellBehind', 'caughtUp']).toContain(event?.$case);
      if (event?.$case === 'heartbeat') expect(event.value.nextWithin).toBeDefined();
      if (header?.resumeToken) commits.push(tokens.decode(header.positionToken)?.commit ?? 0n);
    }
    expect(commits).toEqual(commits.toSorted((a, b) => Number(a - b)));
    // And it is one to go on from: nothing was missed.
    const again = watch({ resumeToken: resumeTokenOf(watching) }, ['m1']);
    await again.caughtUp();
    expect(again.words[0]).toBe('caughtUp');
  });

  test('heartbeats come within what each of them promises', async () => {
    await start({ heartbeatMs: 3_600_000 });
    const watching = watch({ heartbeatInterval: { seconds: 1n, nanos: 0 } });
    await until(() => watching.words.filter((word) => word === 'heartbeat').length === 3);
    for (const { event } of watching.messages) {
      if (event?.$case !== 'heartbeat') continue;
      expect(event.value.nextWithin).toMatchObject({ seconds: 1n, nanos: 0 });
    }
    for (const heartbeatInterval of [
      { seconds: 0n, nanos: 999_999_999 },
      { seconds: 61n, nanos: 0 },
    ]) {
      const refused = watch({ heartbeatInterval });
      await until(() => refused.ended !== undefined);
      expect(refused.ended).toMatchObject({
        code: 'INVALID_ARGUMENT',
        fields: ['options.heartbeat_interval'],
      });
    }
  });
});

describe('WatchOrders with statuses', () => {
  const commit = (position: number, changes: Readonly<Record<string, string>>): void => {
    api.state.head = at(position);
    api.tables.commit(
      orders,
      at(position),
      Object.entries(changes).map(([id, status]) => ({ ...orderRow(id), status: `ORDER_STATUS_${status}` })),
    );
  };
  const watchOrders = (options: Partial<WatchOptions> = {}) => {
    const state = new Set<string>();
    const removed: string[] = [];
    const request = WatchOrdersRequest.fromPartial({ statuses: [OrderStatus.CONFIRMED], options });
    const watching = new Streaming<WatchOrdersResponse>(api.orderQuery.watchOrders(request));
    watching.call.on('data', ({ event }: WatchOrdersResponse) => {
      if (event?.$case === 'snapshotStarted') state.clear();
      if (event?.$case !== 'changes') return;
      for (const order of event.value.orders) {
        expect(order.status).toBe(OrderStatus.CONFIRMED);
        state.add(order.externalId);
      }
      for (const { externalId, reason } of event.value.removals) {
        expect(reason).toBe(RemovalReason.LEFT_FILTER);
        state.delete(externalId);
        removed.push(externalId);
      }
    });
    return { watching, state, removed };
  };

  test('tells of orders that enter and leave, from memory and in a catch-up', async () => {
    await start();
    commit(10, { a: 'CONFIRMED', b: 'TRACKED', c: 'CONFIRMED' });
    const { watching, state, removed } = watchOrders();
    await watching.caughtUp();
    expect([...state]).toEqual(['a', 'c']);
    commit(11, { b: 'CONFIRMED' });
    await until(() => state.has('b'));
    commit(12, { a: 'DECLINED' });
    await until(() => !state.has('a'));
    // One that never was in it does no harm.
    commit(13, { d: 'TRACKED', c: 'CONFIRMED' });
    commit(14, { a: 'CONFIRMED' });
    await until(() => state.has('a'));
    expect(removed).toContain('a');
    const { resumeToken } = watching;
    const before = new Set(state);
    watching.call.cancel();
    await until(() => api.tables.listenerCount('projection:orders') === 0);
    commit(15, { a: 'DECLINED', b: 'DECLINED' });
    commit(16, { b: 'CONFIRMED', e: 'CONFIRMED' });
    const again = watchOrders({ resumeToken });
    for (const id of before) again.state.add(id);
    await again.watching.caughtUp();
    expect(again.watching.words).not.toContain('snapshotStarted');
    expect([...again.state].toSorted()).toEqual(['b', 'c', 'e']);
    expect(headerFaults(watching.messages)).toEqual([]);
    expect(headerFaults(again.watching.messages)).toEqual([]);
    const fresh = watchOrders();
    await fresh.watching.caughtUp();
    expect([...fresh.state].toSorted()).toEqual(['b', 'c', 'e']);
  });
});

test('WatchStatement gives a slow reader every entry, once and in order', async () => {
  await start();
  const entry = (member: string, revision: number): StatementRow => ({
    member,
    currency: 'EUR',
    revision: BigInt(revision),
    occurred_at: noon,
    kind: 'BalanceAdjusted',
    reference: `r${revision}`,
    merchant: 'x'.repeat(100),
    amount_minor: BigInt(revision),
    pending_after_minor: 0n,
    available_after_minor: 0n,
    reserved_after_minor: 0n,
    paid_after_minor: 0n,
    debt_after_minor: 0n,
  });
  api.tables.commit(statement, at(10), [entry('ann', 0)]);
  const client = api.connect(AccountQueryServiceClient, { 'grpc-node.flow_control_window': 65_535 });
  const slow = new Streaming<WatchStatementResponse>(
    client.watchStatement(WatchStatementRequest.fromPartial({})),
    { paused: true },
  );
  await until(() => slow.messages.length === 1);
  for (let n = 1; n <= 400; n++) {
    const rows = Array.from({ length: 10 }, (_, m) => entry(m % 2 === 0 ? 'ann' : 'bob', n * 10 + m));
    api.tables.commit(statement, at(100 + n), rows);
    if (n % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const entries = (): { member: string; revision: bigint }[] =>
    slow.messages.flatMap(({ event }) => (event?.$case === 'changes' ? event.value.entries : []));
  slow.call.resume();
  await until(() => entries().length >= 4_001);
  for (const member of ['ann', 'bob']) {
    const revisions = entries().flatMap((one) => (one.member === member ? [Number(one.revision)] : []));
    const expected = [
      ...(member === 'ann' ? [0] : []),
      ...Array.from({ length: 4_000 }, (_, n) => n + 10).filter((n) => (n % 2 === 0) === (member === 'ann')),
    ];
    expect(revisions).toEqual(expected);
  }
  expect(headerFaults(slow.messages)).toEqual([]);
});
