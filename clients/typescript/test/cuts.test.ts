/** Watches whose connections break at any byte, while rows change, leave the filter, and are folded anew. */
import { expect, test } from 'vitest';
import { orderRow } from '../../../test/api/support/rows.ts';
import { startTestApi, tokens } from '../../../test/api/support/server.ts';
import { at } from '../../../test/api/support/tables.ts';
import { noon } from '../../../test/api/support/requests.ts';
import { chance } from '../../../test/support/chance.ts';
import { orders, statement } from '../../../src/projections/index.ts';
import { connect, OrderStatus, type Order, type StatementEntry } from '../src/index.ts';
import { cuttingProxy } from './support/cutting-proxy.ts';

const statuses = ['ORDER_STATUS_CONFIRMED', 'ORDER_STATUS_SETTLED', 'ORDER_STATUS_DECLINED'] as const;
const mostCuts = 15;
const mostCommits = 500;

const entryRow = (member: string, revision: number) => ({
  member,
  currency: 'GBP',
  revision: BigInt(revision),
  occurred_at: noon,
  kind: 'BalanceAdjusted',
  reference: `a${revision}`,
  merchant: '',
  amount_minor: 1n,
  pending_after_minor: 0n,
  available_after_minor: BigInt(revision),
  reserved_after_minor: 0n,
  paid_after_minor: 0n,
  debt_after_minor: 0n,
});

/** A server behind connections that break, and a client that is not told. */
async function shaky(seed: number) {
  const random = chance(seed);
  const api = await startTestApi({ limits: { resetSpreadMs: 20 } });
  api.state.head = at(1_000_000);
  let connections = 0;
  const proxy = await cuttingProxy(api.address, () =>
    ++connections > mostCuts ? Infinity : 1 + Math.floor(random() ** 2 * 8_000),
  );
  const client = connect(proxy.address, {
    mostBackoffMs: 100,
    channelOptions: { 'grpc.initial_reconnect_backoff_ms': 10, 'grpc.max_reconnect_backoff_ms': 50 },
  });
  const close = async (): Promise<void> => {
    client.close();
    await api.close();
  };
  return { api, client, proxy, random, close };
}

test.each([1, 2])('orders that come, change and leave: the rows end as the table (seed %i)', async (seed) => {
  const { api, client, proxy, random, close } = await shaky(seed);
  let position = 0;
  const table = new Map<string, { readonly status: string; readonly version: number }>();
  const rows = () =>
    [...table].map(([id, { status, version }]) => ({
      ...orderRow(id),
      status,
      source_version: BigInt(version),
    }));
  const commit = (): void => {
    position++;
    const changed = Array.from({ length: 1 + Math.floor(random() * 5) }, () => {
      const id = `order-${Math.floor(random() * 200)}`;
      const status = statuses[Math.floor(random() * 3)] ?? statuses[0];
      table.set(id, { status, version: position });
      return id;
    });
    if (random() < 0.02) api.tables.refold(orders, at(position), rows());
    else
      api.tables.commit(
        orders,
        at(position),
        rows().filter(({ external_id: id }) => changed.includes(id)),
      );
  };
  for (let n = 0; n < 100; n++) commit();

  const watch = client.orders.watchOrders({ statuses: [OrderStatus.CONFIRMED] });
  const versions = new Map<string, bigint>();
  const backwards: string[] = [];
  const see = ({ externalId, sourceVersion }: Order): void => {
    if (sourceVersion < (versions.get(externalId) ?? 0n)) backwards.push(externalId);
    versions.set(externalId, sourceVersion);
  };
  const iterated = (async () => {
    for await (const event of watch) {
      if (event.kind === 'snapshot') for (const order of event.rows.values()) see(order);
      if (event.kind === 'changes') event.rows.forEach(see);
    }
  })();
  while (proxy.cuts < mostCuts) {
    commit();
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  expect(proxy.cuts).toBeGreaterThan(5);
  await watch.until(tokens.encode(at(position)));
  const confirmed = [...table].filter(([, { status }]) => status === 'ORDER_STATUS_CONFIRMED');
  expect(new Map([...watch.rows].map(([key, order]) => [key, Number(order.sourceVersion)]))).toEqual(
    new Map(confirmed.map(([id, { version }]) => [`shop/${id}`, version])),
  );
  expect(backwards).toEqual([]);
  watch.close();
  await iterated;
  await close();
});

test.each([1, 2])('statement entries: each is told once, and in order (seed %i)', async (seed) => {
  const { api, client, proxy, random, close } = await shaky(seed);
  let position = 0;
  const members = ['ann', 'bob', 'cem'];
  const lengths = new Map(members.map((member) => [member, 0]));
  const commit = (): void => {
    position++;
    const added = members.flatMap((member) => {
      const from = lengths.get(member) ?? 0;
      const count = Math.floor(random() * 4);
      lengths.set(member, from + count);
      return Array.from({ length: count }, (_, n) => entryRow(member, from + n));
    });
    api.tables.commit(statement, at(position), added);
  };
  for (let n = 0; n < 10; n++) commit();

  const watch = client.accounts.watchStatement();
  const told: StatementEntry[] = [];
  let snapshots = 0;
  const iterated = (async () => {
    for await (const event of watch) {
      if (event.kind === 'snapshot') {
        snapshots++;
        told.push(...event.rows.values());
      }
      if (event.kind === 'changes') told.push(...event.rows);
    }
  })();
  while (proxy.cuts < mostCuts) {
    // A snapshot that gets larger and larger would never fit.
    if (position === mostCommits) break;
    commit();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(proxy.cuts).toBeGreaterThan(5);
  await watch.until(tokens.encode(at(position)));
  expect(snapshots).toBe(1);
  for (const [member, length] of lengths) {
    const revisions = told.filter((entry) => entry.member === member).map(({ revision }) => Number(revision));
    expect(revisions).toEqual(Array.from({ length }, (_, n) => n));
  }
  expect(watch.rows.size).toBe(told.length);
  watch.close();
  await iterated;
  await close();
});
