import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { commandBus } from '../../src/application/command-bus.ts';
import {
  type CommandBus,
  type CommandOutcome,
  type CommandRequest,
  CommandUnavailable,
} from '../../src/application/commands.ts';
import { eventIdOf } from '../../src/application/decide-batch.ts';
import { decodeEvent } from '../../src/domain/codec.ts';
import { comparePositions, logStart } from '../../src/eventstore/port.ts';
import { MemoryEventStore } from '../support/memory-event-store.ts';
import { item, itemRequest, receive, reserve, uuid, virtualTiming } from './support.ts';

let store: MemoryEventStore;
let bus: CommandBus;

const freshBus = (): CommandBus => commandBus({ store, timing: virtualTiming() });
const accepted = (revision: number, more: object = {}): object => ({
  kind: 'accepted',
  revision,
  duplicate: false,
  unchanged: false,
  ...more,
});

beforeEach(() => {
  store = new MemoryEventStore();
  bus = freshBus();
});

describe('a request', () => {
  test('is answered with the revision and position of its last event', async () => {
    await bus.execute(receive(1, 5n));
    const outcome = await bus.execute(reserve(2, 3n));
    expect(outcome).toMatchObject(accepted(1, { position: store.log[1]?.position }));
  });

  test.each([['the same process', false] as const, ['a restarted process', true] as const])(
    'that is repeated to %s gets the stored outcome, and nothing is appended',
    async (_, restarted) => {
      const first = await bus.execute(receive(1, 5n));
      await bus.execute(receive(2, 1n));
      if (restarted) bus = freshBus();
      expect(await bus.execute(receive(1, 5n))).toEqual({ ...first, duplicate: true });
      expect(store.log).toHaveLength(2);
    },
  );

  test('that was refused stays refused when it would now be accepted, also after a restart', async () => {
    const first = await bus.execute(reserve(1, 3n));
    expect(first).toMatchObject({
      kind: 'refused',
      refusal: { reason: 'INSUFFICIENT_STOCK' },
      duplicate: false,
    });
    await bus.execute(receive(2, 5n));
    const repeated = { ...first, duplicate: true };
    expect(await bus.execute(reserve(1, 3n))).toEqual(repeated);
    expect(await freshBus().execute(reserve(1, 3n))).toEqual(repeated);
    expect(await bus.execute(reserve(3, 3n))).toMatchObject({ kind: 'accepted' });
  });

  test.each([['mug'], ['cup']])(
    'under a used id with other content (for the %s) is an error',
    async (sku) => {
      await bus.execute(receive(1, 5n));
      const other = itemRequest(1, { ...item(sku), kind: 'receive', quantity: 6n, reference: '' }, 'other');
      expect(await bus.execute(other)).toEqual({ kind: 'request-id-reused' });
      expect(await freshBus().execute(other)).toEqual({ kind: 'request-id-reused' });
      expect(store.log).toHaveLength(1);
    },
  );

  test('that changes nothing appends nothing and says so', async () => {
    await bus.execute(receive(1, 5n));
    await bus.execute(reserve(2, 5n));
    const again = itemRequest(3, { ...item(), kind: 'reserve', reservationId: 'r2', quantity: 5n });
    expect(await bus.execute(again)).toMatchObject(accepted(1, { unchanged: true }));
    expect(store.log).toHaveLength(2);
  });
});

describe('a hot stream', () => {
  test('costs no read and one append for all that waits', async () => {
    await bus.execute(receive(0, 1n));
    const [reads, appends] = [store.streamReads, store.appends];
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, (_, n) => bus.execute(receive(n + 1, 1n))),
    );
    expect(outcomes.map((o) => (o.kind === 'accepted' ? o.revision : -1))).toEqual(
      Array.from({ length: 100 }, (_, n) => n + 1),
    );
    expect(store.streamReads).toBe(reads);
    expect(store.appends).toBe(appends + 1);
  });

  test('decides each command on what the ones before it leave', async () => {
    const outcomes = await Promise.all(
      [receive(1, 5n), reserve(2, 3n), reserve(3, 3n), reserve(4, 2n)].map((r) => bus.execute(r)),
    );
    expect(outcomes.map((o) => o.kind)).toEqual(['accepted', 'accepted', 'refused', 'accepted']);
  });

  test('answers a request that stands twice in one batch once', async () => {
    const [first, second, third] = await Promise.all([
      bus.execute(receive(1, 5n)),
      bus.execute(receive(1, 5n)),
      bus.execute(itemRequest(1, { ...item(), kind: 'receive', quantity: 9n, reference: '' }, 'other')),
    ]);
    expect(second).toEqual({ ...first, duplicate: true });
    expect(third).toEqual({ kind: 'request-id-reused' });
    expect(store.log).toHaveLength(1);
  });
});

describe('when the store fails', () => {
  test.each(['lose-request', 'lose-answer'] as const)(
    '%s: the command is carried out once',
    async (fault) => {
      store.faults.push(fault, fault);
      expect(await bus.execute(receive(1, 5n))).toMatchObject({ kind: 'accepted', revision: 0 });
      expect(store.log).toHaveLength(1);
    },
  );

  test('for good, the command and all behind it are given up, and a later repeat settles them', async () => {
    store.faults.push(...Array.from({ length: 10_000 }, () => 'lose-request' as const));
    const results = await Promise.allSettled([1, 2, 3].map((n) => bus.execute(receive(n, 1n))));
    expect(results.every((r) => r.status === 'rejected' && r.reason instanceof CommandUnavailable)).toBe(
      true,
    );
    store.faults.length = 0;
    await Promise.all([1, 2, 3].map((n) => bus.execute(receive(n, 1n))));
    expect(store.log).toHaveLength(3);
  });

  test('another process writing meanwhile is no matter: decided again on the fresh state', async () => {
    await bus.execute(receive(1, 5n));
    await freshBus().execute(reserve(2, 4n));
    expect(await bus.execute(reserve(3, 4n))).toMatchObject({ kind: 'refused' });
    expect(await bus.execute(reserve(4, 1n))).toMatchObject({ kind: 'accepted' });
  });
});

test('two processes, any faults, any repeats: acknowledged is stored once, refused never, and all agree', async () => {
  const command = fc.record({
    request: fc.integer({ min: 1, max: 12 }),
    process: fc.boolean(),
    fault: fc.constantFrom(undefined, undefined, 'lose-request' as const, 'lose-answer' as const),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 40 }), fc.boolean(), async (commands, atOnce) => {
      store = new MemoryEventStore();
      const processes = [freshBus(), freshBus()] as const;
      const answers = new Map<number, CommandOutcome[]>();
      const run = async ({ request, process, fault }: (typeof commands)[number]): Promise<void> => {
        if (fault) store.faults.push(fault);
        const outcome = await processes[process ? 0 : 1].execute(
          request % 3 === 0 ? receive(request, 2n) : reserve(request, 1n),
        );
        answers.set(request, [...(answers.get(request) ?? []), outcome]);
      };
      if (atOnce) await Promise.all(commands.map(run));
      else for (const one of commands) await run(one);

      const stored = store.log.map((recorded) => decodeEvent(recorded).type);
      expect(stored).toHaveLength(answers.size);
      for (const outcomes of answers.values()) {
        // The position may be that of a whole append, or of the request's own event in it.
        expect(new Set(outcomes.map((o) => JSON.stringify({ ...o, duplicate: 0, position: 0 }))).size).toBe(
          1,
        );
        for (const outcome of outcomes) {
          if (outcome.kind !== 'accepted') continue;
          const own = store.log.find((recorded) => recorded.revision === outcome.revision);
          expect(comparePositions(outcome.position, own?.position ?? logStart)).toBeGreaterThanOrEqual(0);
        }
      }
      const count = (kind: string): number => [...answers.values()].filter((o) => o[0]?.kind === kind).length;
      expect(stored.filter((type) => type === 'CommandRefused')).toHaveLength(count('refused'));
      expect(stored.filter((type) => type !== 'CommandRefused')).toHaveLength(count('accepted'));
    }),
    { numRuns: 200 },
  );
});

test('commands whose events are too much for one append are stored in several, in order', async () => {
  const reason = 'x'.repeat(1_000_000);
  const requests = Array.from({ length: 30 }, (_, n) =>
    itemRequest(n + 1, { ...item(), kind: 'adjust', delta: 1n, reason, reference: '' }),
  );
  const outcomes = await Promise.all(requests.map((request) => bus.execute(request)));
  expect(outcomes.map((o) => (o.kind === 'accepted' ? o.revision : o.kind))).toEqual(
    requests.map((_, n) => n),
  );
  expect(store.appends).toBeGreaterThan(2);
  expect(store.appends).toBeLessThan(10);
});

test('what the store finds too large goes in halves; what is too large by itself is refused, for good', async () => {
  store.largestAppend = 3_000;
  const adjust = (n: number, length: number): CommandRequest =>
    itemRequest(n, { ...item(), kind: 'adjust', delta: 1n, reason: 'x'.repeat(length), reference: '' });
  const requests = Array.from({ length: 20 }, (_, n) => adjust(n + 1, n === 12 ? 5_000 : 500));
  const outcomes = await Promise.all(requests.map((request) => bus.execute(request)));
  expect(outcomes.map((o) => o.kind)).toEqual(requests.map((_, n) => (n === 12 ? 'refused' : 'accepted')));
  expect(outcomes[12]).toMatchObject({ refusal: { reason: 'COMMAND_TOO_LARGE', class: 'invalid' } });
  expect(store.log.map(({ id }) => id)).toEqual(requests.map(({ requestId }) => eventIdOf(requestId, 0)));
  expect(store.appends).toBeLessThan(20);

  store.largestAppend = Infinity;
  expect(await freshBus().execute(adjust(13, 5_000))).toMatchObject({ kind: 'refused', duplicate: true });
});

test('a report repeated to a restarted process is a duplicate, and with other content an error', async () => {
  const report = (contentHash: string): CommandRequest => ({
    requestId: uuid(1),
    contentHash,
    aggregate: 'order',
    command: {
      kind: 'report-stock-adjustment',
      source: 'net',
      externalId: 'd1',
      merchant: 'shop',
      at: item().at,
      lines: [{ lineNo: 1, sku: 'mug', delta: 1n, reason: contentHash }],
    },
  });
  await bus.execute(report('a'));
  expect(await freshBus().execute(report('a'))).toMatchObject({ kind: 'accepted', duplicate: true });
  expect(await freshBus().execute(report('b'))).toEqual({ kind: 'request-id-reused' });
});
