import { expect, test } from 'vitest';
import { commandBus } from '../../src/application/command-bus.ts';
import type { CommandRequest } from '../../src/application/commands.ts';
import { type PolicyCheckpoint, runPolicy } from '../../src/application/policy-runner.ts';
import { decodeEvent } from '../../src/domain/codec.ts';
import type { OrderCommand } from '../../src/domain/order/commands.ts';
import { orderRebate } from '../../src/domain/policies/order-rebate.ts';
import { comparePositions, logStart, type Position } from '../../src/eventstore/port.ts';
import { ReleaseOn } from '../../src/gen/tallyback/events/v1/programme.ts';
import { MemoryEventStore } from '../support/memory-event-store.ts';
import { uuid, virtualTiming } from './support.ts';

const at = new Date(Date.UTC(2026, 0, 1));
const order = { source: 'net', externalId: 'o1', at };

const tell = (n: number, command: OrderCommand): CommandRequest => ({
  requestId: uuid(n),
  contentHash: `hash-${n}`,
  aggregate: 'order',
  command,
});

const publish: CommandRequest = {
  requestId: uuid(1),
  contentHash: 'publish',
  aggregate: 'programme',
  command: {
    kind: 'publish-rule-set',
    merchant: 'shop',
    at,
    version: undefined,
    validFrom: at,
    validUntil: undefined,
    priority: 0,
    rules: [{ ruleId: 'all', categories: [], skus: [], excludedSkus: [], rateBps: 500 }],
    holdDays: 30,
    releaseOn: ReleaseOn.TRACKED,
  },
};

const line = {
  lineNo: 1,
  sku: 'mug',
  category: '',
  quantity: 2n,
  unitPrice: '10.00',
  orderedAt: undefined,
  service: false,
};

/** Found by the crash rounds. */
test('a policy that repeats what changed nothing before does not undo what came after it', async () => {
  const store = new MemoryEventStore();
  const bus = commandBus({ store, timing: virtualTiming() });
  await bus.execute(publish);
  const shop = { merchant: 'shop', member: 'ann', currency: 'GBP', sourceVersion: 1n, lines: [line] };
  await bus.execute(tell(2, { kind: 'track', ...order, ...shop }));
  // Concerns no entry that is declined: nothing to do, nothing stored.
  await bus.execute(tell(3, { kind: 'restore', ...order, sourceVersion: 1n }));
  await bus.execute(tell(4, { kind: 'decline', ...order, sourceVersion: 2n, reason: '' }));

  // The second run is what a process does that takes over from one that was killed before it saved its checkpoint.
  for (let run = 0; run < 2; run++) await runToTheEnd();
  const booked = store.log.map((stored) => {
    const { type, data } = decodeEvent(stored);
    if (type === 'RebateAccrued') return data.amountMinor;
    return type === 'RebateReversed' ? -data.amountMinor : 0n;
  });
  expect(booked.reduce((sum, amount) => sum + amount, 0n)).toBe(0n);

  async function runToTheEnd(): Promise<void> {
    const stop = new AbortController();
    let position: Position = logStart;
    const checkpoint: PolicyCheckpoint = {
      position,
      rest: () => Promise.resolve(),
      advance: (to) => {
        position = to;
        return Promise.resolve(true);
      },
      reload: () => Promise.resolve(true),
    };
    const running = runPolicy({
      policy: orderRebate,
      store,
      bus,
      checkpoint,
      timing: virtualTiming(),
      log: () => undefined,
      signal: stop.signal,
    });
    while (comparePositions(position, await store.head()) < 0)
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    stop.abort();
    await running;
  }
});
