/** The library on a whole server: nothing is done twice, and nobody reads what is older than what they did. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { chance } from '../../../test/support/chance.ts';
import { connect, type ConnectOptions, ReleaseOn, type Tallyback, WindowLength } from '../src/index.ts';
import { cuttingProxy } from './support/cutting-proxy.ts';
import { type RealServer, startRealServer } from './support/real-server.ts';
import { credit } from './support/requests.ts';

let server: RealServer;
beforeAll(async () => {
  server = await startRealServer();
});
afterAll(() => server.stop());

const open = (address = server.address, options: ConnectOptions = {}): Tallyback => {
  const client = connect(address, options);
  onTestFinished(() => client.close());
  return client;
};

/** A shop that pays five per cent back, and an order there that earns 399. */
async function trackAnOrder({ programmes, orders }: Tallyback, member: string) {
  const merchant = `shop-${randomUUID()}`;
  await programmes.publishRuleSet({
    merchant,
    ruleSet: {
      validFrom: new Date('2026-01-01'),
      rules: [{ ruleId: 'all', rateBps: 500 }],
      holdDays: 30,
      releaseOn: ReleaseOn.TRACKED,
    },
  });
  const externalId = randomUUID();
  await orders.trackOrder({
    source: 'awin',
    externalId,
    merchant,
    member,
    currency: 'GBP',
    occurredAt: new Date('2026-03-01T12:00:00Z'),
    sourceVersion: 1n,
    lines: [{ lineNo: 1, sku: 'boot-42', category: 'shoes', quantity: 1n, unitPrice: '79.90' }],
  });
  return { merchant, externalId };
}

test('commands over connections that break at any byte are carried out once each', async () => {
  const random = chance(1);
  const proxy = await cuttingProxy(server.address, () => 60 + Math.floor(random() * 400));
  const { accounts } = open(proxy.address, {
    mostBackoffMs: 50,
    channelOptions: { 'grpc.initial_reconnect_backoff_ms': 10, 'grpc.max_reconnect_backoff_ms': 50 },
  });
  const member = randomUUID();
  let repeats = 0;
  for (let n = 0; n < 30; n++) {
    const { receipt } = await accounts.adjustBalance(credit(member));
    if (receipt?.duplicate === true) repeats++;
  }
  // Otherwise nothing was put to the test.
  expect(proxy.cuts).toBeGreaterThan(5);
  expect(repeats).toBeGreaterThan(0);
  const direct = open();
  direct.adopt((await direct.system.listCheckpoints({})).headToken);
  const ann = { member, currency: 'GBP' };
  const { entries } = await direct.accounts.listStatement(ann);
  expect(entries.map(({ amountMinor }) => amountMinor)).toEqual(Array.from({ length: 30 }, () => 1n));
  expect((await direct.accounts.getBalance(ann)).balance).toMatchObject({
    adjustedMinor: 30n,
    availableMinor: 30n,
  });
});

test('a session reads what it wrote, however its commands were answered; another one when it is told', async () => {
  const client = open();
  const other = client.session();
  const member = randomUUID();
  const ann = { member, currency: 'GBP' };
  for (let round = 1; round <= 20; round++) {
    const [first] = await Promise.all(
      Array.from({ length: 4 }, () => {
        const request = { ...credit(member), requestId: randomUUID() };
        return client.accounts.adjustBalance(request).then(() => request);
      }),
    );
    // Done before: its token is of the past.
    if (first) await client.accounts.adjustBalance(first);
    const reader = round % 2 === 0 ? client : other;
    if (reader === other) other.adopt(await client.position());
    expect((await reader.accounts.getBalance(ann)).balance?.availableMinor).toBe(BigInt(4 * round));
  }
});

test('with effects, the rebate of an order is there when the order is', async () => {
  const client = open(server.address, { includingEffects: true });
  for (let n = 0; n < 10; n++) {
    const member = randomUUID();
    await trackAnOrder(client, member);
    const { balance } = await client.accounts.getBalance({ member, currency: 'GBP' });
    expect(balance?.pendingMinor).toBe(399n);
  }
});

test('a watch can be waited for, and its rows are then through the command', async () => {
  const { accounts } = open();
  const member = randomUUID();
  const watch = accounts.watchBalances({ members: [member] });
  for (let n = 1; n <= 10; n++) {
    const { receipt } = await accounts.adjustBalance(credit(member));
    await watch.until(receipt?.positionToken ?? '');
    expect(watch.rows.get(`${member}/GBP`)?.availableMinor).toBe(BigInt(n));
  }
  await expect(watch.until('made up')).rejects.toMatchObject({ reason: 'POSITION_TOKEN_INVALID' });
  watch.close();
});

test('every watch there is, by its keys', async () => {
  const client = open(server.address, { includingEffects: true });
  const member = randomUUID();
  const { merchant, externalId } = await trackAnOrder(client, member);
  const watches = {
    balances: client.accounts.watchBalances({ members: [member] }),
    statement: client.accounts.watchStatement({ members: [member] }),
    orders: client.orders.watchOrders({ member }),
    stock: client.items.watchStock({ merchant }),
    windows: client.figures.watchWindows({ merchant, length: WindowLength.DAY }),
  };
  const keys = (): Record<string, readonly string[]> =>
    Object.fromEntries(Object.entries(watches).map(([name, { rows }]) => [name, [...rows.keys()]]));
  await expect.poll(keys, { timeout: 10_000 }).toEqual({
    balances: [`${member}/GBP`],
    statement: [`${member}/GBP/0`],
    orders: [`awin/${externalId}`],
    stock: [`${merchant}/boot-42`],
    windows: [`${merchant}/GBP/2026-03-01T00:00:00.000Z`],
  });
  for (const watch of Object.values(watches)) watch.close();
});

test('streams that are no watches: ingest, and a rebuild that is followed', async () => {
  const client = open();
  const records = client.ingest.ingest();
  const verdicts: string[] = [];
  records.on('error', () => undefined);
  records.on('data', ({ verdict }) => verdicts.push(verdict?.$case ?? 'none'));
  const value = { ...credit(randomUUID()), requestId: 'no uuid' };
  records.write({
    sequence: 1n,
    record: {
      $case: 'receiveStock',
      value: {
        requestId: value.requestId,
        merchant: 'shop',
        sku: 'mug',
        occurredAt: value.occurredAt,
        quantity: 1n,
        reference: '',
      },
    },
  });
  await expect.poll(() => verdicts).toEqual(['refused']);
  records.cancel();

  const unknown = client.projections.watchRebuild({ projection: 'nothing', generation: 1 });
  await expect(unknown[Symbol.asyncIterator]().next()).rejects.toMatchObject({ name: 'TallybackError' });
});
