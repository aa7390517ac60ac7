/**
 * A command at one instance, then a query at another: never older than the command, and with effects never older than
 * what policies did about it, whoever leads projections and policies. PAIRS=100000 is the long form.
 */
import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AdjustBalanceRequest } from '../../src/gen/tallyback/account/v1/account_command_service.ts';
import { type Balance, GetBalanceRequest } from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import { OnTimeout, ReadConsistency } from '../../src/gen/tallyback/common/v1/consistency.ts';
import { DefineItemRequest } from '../../src/gen/tallyback/item/v1/item_command_service.ts';
import { GetStockRequest } from '../../src/gen/tallyback/item/v1/item_query_service.ts';
import { TrackOrderRequest } from '../../src/gen/tallyback/order/v1/order_command_service.ts';
import {
  PublishRuleSetRequest,
  ReleaseOn,
} from '../../src/gen/tallyback/programme/v1/programme_command_service.ts';
import type { Connection } from '../../src/main/client/connect.ts';
import { unary } from '../../src/main/client/unary.ts';
import { servedFixture, servedStores } from '../support/served-stores.ts';
import { type Instances, startInstances } from './support/instances.ts';
import { noon } from './support/requests.ts';

const pairs = Number(process.env['PAIRS'] ?? 200);
const clients = pairs > 5_000 ? 64 : 12;
const patience = Math.max(120_000, pairs * 60);
const { signal } = new AbortController();
setMaxListeners(0, signal);
const maxWait = { seconds: 30n, nanos: 0 };

async function publish({ programmeCommands }: Connection): Promise<string> {
  const merchant = `shop-${randomUUID()}`;
  const request = PublishRuleSetRequest.fromPartial({
    requestId: randomUUID(),
    merchant,
    ruleSet: {
      validFrom: new Date('2026-01-01'),
      rules: [{ ruleId: 'all', rateBps: 1_000 }],
      holdDays: 30,
      releaseOn: ReleaseOn.TRACKED,
    },
  });
  await unary(programmeCommands, programmeCommands.publishRuleSet, request, { signal });
  return merchant;
}

/** One cent more; gives the token. */
async function credit({ accountCommands }: Connection, member: string): Promise<string> {
  const request = AdjustBalanceRequest.fromPartial({
    requestId: randomUUID(),
    member,
    currency: 'EUR',
    occurredAt: noon,
    adjustmentId: randomUUID(),
    amountMinor: 1n,
    reason: 'a cent',
    requestedBy: 'ann',
    approvedBy: 'bob',
  });
  const { receipt } = await unary(accountCommands, accountCommands.adjustBalance, request, { signal });
  return receipt?.positionToken ?? '';
}

/** An order that earns ten cents; gives the token. */
async function report({ orderCommands }: Connection, member: string, merchant: string): Promise<string> {
  const request = TrackOrderRequest.fromPartial({
    requestId: randomUUID(),
    source: 'shop',
    externalId: randomUUID(),
    merchant,
    member,
    currency: 'EUR',
    occurredAt: noon,
    sourceVersion: 1n,
    lines: [{ lineNo: 1, sku: `sku-${member}`, category: 'shoes', quantity: 1n, unitPrice: '1.00' }],
  });
  const { receipt } = await unary(orderCommands, orderCommands.trackOrder, request, { signal });
  return receipt?.positionToken ?? '';
}

async function balanceAt(
  { accounts }: Connection,
  member: string,
  consistency: Partial<ReadConsistency>,
): Promise<Balance | undefined> {
  const request = GetBalanceRequest.fromPartial({
    member,
    currency: 'EUR',
    consistency: ReadConsistency.fromPartial({ maxWait, ...consistency }),
  });
  return (await unary(accounts, accounts.getBalance, request, { signal })).balance;
}

/** So many clients at once, each with its pairs one after the other: what `pair` expects and what it got, by turns. */
async function attack(
  count: number,
  pair: (member: string, n: number) => Promise<{ readonly due: bigint; readonly got: bigint | undefined }>,
): Promise<void> {
  const stale: string[] = [];
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      const member = `m${client}-${randomUUID()}`;
      for (let n = 1; n <= Math.ceil(count / clients); n++) {
        const { due, got } = await pair(member, n);
        if (got !== due) stale.push(`${member} after ${n}: ${got} for ${due}`);
      }
    }),
  );
  expect(stale).toEqual([]);
}

const [embedded] = servedStores;

describe.each([
  ['both lead some', [undefined, undefined]],
  ['only the second leads', ['api', undefined]],
  ['neither leads: a third does', ['api', 'api', 'projector,policies']],
])('two instances: %s', (_, roles) => {
  let instances: Instances;
  beforeAll(async () => {
    if (!embedded) throw new Error('no store');
    instances = await startInstances(embedded, roles);
  });
  afterAll(() => instances.stop());
  const either = (n: number): [Connection, Connection] => {
    const [a, b] = instances.connections;
    if (!a || !b) throw new Error('two instances have an API');
    return n % 2 === 0 ? [a, b] : [b, a];
  };

  test(
    'a balance at the token of a command, at the other instance, has it',
    async () => {
      await attack(pairs, async (member, n) => {
        const [here, there] = either(n);
        const token = await credit(here, member);
        return {
          due: BigInt(n),
          got: (await balanceAt(there, member, { atLeast: token }))?.availableMinor,
        };
      });
    },
    patience,
  );

  test(
    'a balance including effects, at the token of an order, has its rebate',
    async () => {
      const merchant = await publish(either(0)[0]);
      await attack(pairs / 2, async (member, n) => {
        const [here, there] = either(n);
        const token = await report(here, member, merchant);
        const found = await balanceAt(there, member, { atLeast: token, includingEffects: true });
        return { due: 10n * BigInt(n), got: found?.pendingMinor };
      });
    },
    patience,
  );

  test(
    'the latest balance has what was acknowledged before, without any token',
    async () => {
      const merchant = await publish(either(0)[0]);
      await attack(pairs / 4, async (member, n) => {
        const [here, there] = either(n);
        await credit(here, member);
        const credited = (await balanceAt(there, member, { latest: true }))?.availableMinor;
        await report(here, member, merchant);
        const found = await balanceAt(there, member, { latest: true, includingEffects: true });
        return {
          due: 100n * BigInt(n) + BigInt(n),
          got: credited && found && 10n * found.pendingMinor + credited,
        };
      });
    },
    patience,
  );

  test('the oldest token is as good as any other', async () => {
    const [here, there] = either(0);
    const member = `old-${randomUUID()}`;
    const oldest = await credit(here, member);
    for (let n = 0; n < 50; n++) await credit(here, `other-${n}`);
    expect(await balanceAt(there, member, { latest: true })).toMatchObject({ availableMinor: 1n });
    expect(await balanceAt(there, member, { atLeast: oldest })).toMatchObject({ availableMinor: 1n });
  });
});

describe.each(servedStores)('on $name, idle', (kind) => {
  let instances: Instances;
  beforeAll(async () => {
    instances = await startInstances(kind, [undefined, 'api']);
  });
  afterAll(() => instances.stop());

  test('a read model is fresh also for tokens of events that do not concern it', async () => {
    const member = `quiet-${randomUUID()}`;
    for (const [n, here] of instances.connections.entries()) {
      await credit(here, member);
      const sku = `mug-${n}`;
      const define = DefineItemRequest.fromPartial({
        requestId: randomUUID(),
        merchant: 'shop',
        sku,
        occurredAt: noon,
      });
      const { receipt } = await unary(here.itemCommands, here.itemCommands.defineItem, define, { signal });
      const atLeast = receipt?.positionToken ?? '';
      // First the one that leads nothing: nobody there can hurry whoever leads.
      for (const there of instances.connections.toReversed()) {
        for (const wish of [
          { atLeast },
          { latest: true },
          { atLeast, includingEffects: true },
          { latest: true, onTimeout: OnTimeout.RETURN_STALE },
        ]) {
          const request = GetBalanceRequest.fromPartial({
            member,
            currency: 'EUR',
            consistency: { ...wish, maxWait },
          });
          const { balance, read } = await unary(there.accounts, there.accounts.getBalance, request, {
            signal,
          });
          expect(balance?.availableMinor).toBe(BigInt(n + 1));
          expect(read?.stale).toBe(false);
          // Nothing, or not known: the log may be slow to say where it ends.
          expect(read?.lagEvents).toBeLessThanOrEqual(0n);
        }
      }
      const stock = GetStockRequest.fromPartial({ merchant: 'shop', sku, consistency: { atLeast, maxWait } });
      expect(await unary(here.items, here.items.getStock, stock, { signal })).toMatchObject({
        stock: { sku },
      });
    }
  });
});

test(
  'on an EventStoreDB that ends with events of somebody else, the latest is ours',
  async () => {
    const store = await servedFixture.start();
    const shared = {
      name: 'shared',
      start: () => Promise.resolve({ env: store.env, cut: () => undefined, stop: () => Promise.resolve() }),
    };
    const ours = await startInstances(shared, [undefined, 'api']);
    const theirs = await startInstances(shared, [undefined], { TALLYBACK_EVENT_STORE_NAMESPACE: 'theirs' });
    try {
      const [[here, there], [other]] = [ours.connections, theirs.connections];
      if (!here || !there || !other) throw new Error('all have an API');
      const member = `shared-${randomUUID()}`;
      const atLeast = await credit(here, member);
      // More than are looked through for one of ours.
      await Promise.all(Array.from({ length: 100 }, (_, n) => credit(other, `stranger-${n}`)));
      for (const one of [here, there]) {
        for (const wish of [{ latest: true }, { latest: true, includingEffects: true }, { atLeast }]) {
          expect(await balanceAt(one, member, wish)).toMatchObject({ availableMinor: 1n });
        }
      }
    } finally {
      await theirs.stop();
      await ours.stop();
      await store.stop();
    }
  },
  patience,
);

test('a token of another log under the same key is foreign, before any waiting', async () => {
  if (!embedded) throw new Error('no store');
  const key = { TALLYBACK_TOKEN_KEY: randomUUID() };
  const here = await startInstances(embedded, [undefined], key);
  const there = await startInstances(embedded, [undefined], key);
  try {
    const [[mine], [other]] = [here.connections, there.connections];
    if (!mine || !other) throw new Error('both have an API');
    const member = `two-logs-${randomUUID()}`;
    const atLeast = await credit(mine, member);
    await credit(other, member);
    expect(await balanceAt(mine, member, { atLeast })).toMatchObject({ availableMinor: 1n });
    await expect(balanceAt(other, member, { atLeast })).rejects.toThrow('POSITION_TOKEN_FOREIGN');
  } finally {
    await here.stop();
    await there.stop();
  }
});
