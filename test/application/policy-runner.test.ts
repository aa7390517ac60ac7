import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { commandBus } from '../../src/application/command-bus.ts';
import type { CommandBus, CommandRequest } from '../../src/application/commands.ts';
import { type PolicyCheckpoint, runPolicy } from '../../src/application/policy-runner.ts';
import { decodeEvent } from '../../src/domain/codec.ts';
import type { DomainEvent, EventType } from '../../src/domain/events.ts';
import { orderRebate } from '../../src/domain/policies/order-rebate.ts';
import { orderStock } from '../../src/domain/policies/order-stock.ts';
import { accountStream, itemStream } from '../../src/domain/streams.ts';
import { comparePositions, logStart, type Position } from '../../src/eventstore/port.ts';
import { ReleaseOn } from '../../src/gen/tallyback/events/v1/programme.ts';
import { MemoryEventStore } from '../support/memory-event-store.ts';
import { uuid, virtualTiming } from './support.ts';

let store: MemoryEventStore;
let bus: CommandBus;
let running: AbortController;
let checkpoints: Map<string, Position>;
let checkpointLost: boolean;
let checkpointFaults: ('lose-request' | 'lose-answer' | undefined)[];
let reloads: number;
let lines: string[];
let runs: Promise<void>[];

beforeEach(() => {
  store = new MemoryEventStore();
  bus = commandBus({ store, timing: virtualTiming() });
  checkpoints = new Map();
  checkpointLost = false;
  checkpointFaults = [];
  reloads = 0;
  lines = [];
  runs = [];
  start();
});

afterEach(stop);

/** Where a policy has got to, in memory: claimed when the runner starts. */
function checkpointOf(name: string): PolicyCheckpoint {
  let position = checkpoints.get(name) ?? logStart;
  return {
    get position() {
      return position;
    },
    rest: () => Promise.resolve(),
    advance(to) {
      const fault = checkpointFaults.shift();
      if (fault === 'lose-request') return Promise.reject(new Error('no connection'));
      if (!checkpointLost) checkpoints.set(name, to);
      if (fault === 'lose-answer') return Promise.reject(new Error('connection lost'));
      if (!checkpointLost) position = to;
      return Promise.resolve(!checkpointLost);
    },
    reload() {
      reloads++;
      if (!checkpointLost) position = checkpoints.get(name) ?? logStart;
      return Promise.resolve(!checkpointLost);
    },
  };
}

function start(): void {
  running = new AbortController();
  runs = [orderRebate, orderStock].map((policy) =>
    runPolicy({
      policy,
      store,
      bus,
      checkpoint: checkpointOf(`policy:${policy.name}`),
      timing: virtualTiming(),
      log: (line) => lines.push(line),
      signal: running.signal,
    }),
  );
}

async function stop(): Promise<void> {
  running.abort();
  await Promise.all(runs);
}

/** Until both policies have seen the whole log and nothing new comes of it. */
async function settle(): Promise<void> {
  const behind = async (): Promise<boolean> => {
    const head = await store.head();
    return ['policy:order-rebate', 'policy:order-stock'].some(
      (name) => comparePositions(checkpoints.get(name) ?? logStart, head) < 0,
    );
  };
  for (let n = 0; n < 10_000 && (await behind()); n++) await new Promise((resolve) => setImmediate(resolve));
  expect(await behind()).toBe(false);
}

const day = (n: number): Date => new Date(Date.UTC(2026, 0, n));

const publish = (n: number, rateBps: number, from: Date, until?: Date): CommandRequest => ({
  requestId: uuid(n),
  contentHash: `publish-${n}`,
  aggregate: 'programme',
  command: {
    kind: 'publish-rule-set',
    merchant: 'shop',
    at: day(1),
    version: undefined,
    validFrom: from,
    validUntil: until,
    priority: 0,
    rules: [{ ruleId: 'all', categories: [], skus: [], excludedSkus: [], rateBps }],
    holdDays: 30,
    releaseOn: ReleaseOn.TRACKED,
  },
});

const track = (n: number, at: Date, quantity = 2n): CommandRequest => ({
  requestId: uuid(n),
  contentHash: `track-${n}`,
  aggregate: 'order',
  command: {
    kind: 'track',
    source: 'net',
    externalId: `o${n}`,
    merchant: 'shop',
    member: 'ann',
    currency: 'GBP',
    at,
    sourceVersion: 1n,
    lines: [
      {
        lineNo: 1,
        sku: 'mug',
        category: '',
        quantity,
        unitPrice: '10.00',
        orderedAt: undefined,
        service: false,
      },
    ],
  },
});

const eventsIn = (stream: string): DomainEvent[] =>
  store.log.filter((recorded) => recorded.stream === stream).map((recorded) => decodeEvent(recorded));
const typesIn = (stream: string): EventType[] => eventsIn(stream).map(({ type }) => type);

describe('policies', () => {
  test('an order earns a rebate under the rules of its time and takes stock', async () => {
    await bus.execute(publish(1, 500, day(1), day(10)));
    await bus.execute(publish(2, 1000, day(10)));
    await bus.execute(track(3, day(5)));
    await bus.execute(track(4, day(15)));
    await settle();
    const accrued = eventsIn(accountStream('ann', 'GBP')).map((e) =>
      e.type === 'RebateAccrued' ? e.data.amountMinor : e.type,
    );
    expect(accrued).toEqual([100n, 200n]);
    expect(typesIn(itemStream('shop', 'mug'))).toEqual(['StockSold', 'StockSold']);
  });

  test('only rules published before the order was reported count, whenever it is looked at', async () => {
    await stop();
    await bus.execute(track(1, day(5)));
    await bus.execute(publish(2, 500, day(1)));
    await bus.execute(track(3, day(5)));
    start();
    await settle();
    expect(typesIn(accountStream('ann', 'GBP'))).toEqual(['RebateAccrued']);
  });

  test('delivered again from the start, nothing changes', async () => {
    await bus.execute(publish(1, 500, day(1)));
    for (let n = 2; n < 30; n++) await bus.execute(track(n, day(2)));
    await settle();
    const before = store.log.length;
    for (const fresh of [false, true]) {
      await stop();
      checkpoints.clear();
      if (fresh) bus = commandBus({ store, timing: virtualTiming() });
      start();
      await settle();
      expect(store.log).toHaveLength(before);
    }
  });

  test('two orders under one request id, where the store allows it, both earn their rebate', async () => {
    store.idsUniqueInLog = false;
    await bus.execute(publish(1, 500, day(1)));
    const [one, other] = [track(2, day(5)), track(3, day(5))];
    await bus.execute(one);
    await bus.execute({ ...other, requestId: one.requestId });
    await settle();
    expect(typesIn(accountStream('ann', 'GBP'))).toEqual(['RebateAccrued', 'RebateAccrued']);
  });

  test('commands for one account keep the order of the log, whatever fails meanwhile', async () => {
    await bus.execute(publish(1, 500, day(1)));
    await stop();
    for (let n = 2; n < 40; n++) await bus.execute(track(n, day(2)));
    for (let n = 0; n < 200; n++)
      store.faults.push(n % 3 === 0 ? 'lose-answer' : n % 3 === 1 ? 'lose-request' : undefined);
    start();
    await settle();
    const entries = eventsIn(accountStream('ann', 'GBP')).flatMap((e) =>
      e.type === 'RebateAccrued' ? [e.data.entryId] : [],
    );
    expect(entries).toEqual(Array.from({ length: 38 }, (_, n) => `net~o${n + 2}`));
  });

  test('a runner whose checkpoint another one has taken does not move it, and ends', async () => {
    await bus.execute(publish(1, 500, day(1)));
    await settle();
    const before = new Map(checkpoints);
    checkpointLost = true;
    await bus.execute(track(2, day(2)));
    await Promise.all(runs);
    expect(checkpoints).toEqual(before);
    expect(lines.filter((line) => line.includes('another runner has taken over'))).toHaveLength(2);
    // Whoever claims it next does what was not noted again, to no effect.
    checkpointLost = false;
    start();
    await settle();
    expect(typesIn(accountStream('ann', 'GBP'))).toEqual(['RebateAccrued']);
  });

  test('a runner that was replaced while its store failed ends, too', async () => {
    await bus.execute(publish(1, 500, day(1)));
    await settle();
    const before = new Map(checkpoints);
    checkpointFaults.push('lose-request', 'lose-request');
    checkpointLost = true;
    await bus.execute(track(2, day(2)));
    await Promise.all(runs);
    expect(reloads).toBeGreaterThanOrEqual(1);
    expect(checkpoints).toEqual(before);
  });

  test('a checkpoint that may or may not have been saved is read again; no event is left out or counts twice', async () => {
    await bus.execute(publish(1, 500, day(1)));
    for (let n = 0; n < 40; n++)
      checkpointFaults.push(n % 3 === 0 ? 'lose-answer' : n % 3 === 1 ? 'lose-request' : undefined);
    for (let n = 2; n < 30; n++) await bus.execute(track(n, day(2)));
    await settle();
    expect(reloads).toBeGreaterThan(0);
    const entries = eventsIn(accountStream('ann', 'GBP')).flatMap((e) =>
      e.type === 'RebateAccrued' ? [e.data.entryId] : [],
    );
    expect(entries).toEqual(Array.from({ length: 28 }, (_, n) => `net~o${n + 2}`));
  });
});
