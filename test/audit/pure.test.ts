/** What needs no database: streams, slices, money, and the pace. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeEvent } from '../../src/domain/codec.ts';
import { Holds } from '../../src/projections/audit/holds.ts';
import { isStreamModel } from '../../src/projections/audit/check-rows.ts';
import { keyTexts } from '../../src/projections/audit/difference.ts';
import { keyFrom } from '../../src/projections/audit/key-from.ts';
import {
  emptyLedger,
  imbalance,
  ledgerFrom,
  ledgerTexts,
  ledgerOf,
  posted,
  readableMoneyEvent,
} from '../../src/projections/audit/money.ts';
import { logPart } from '../../src/projections/audit/log-part.ts';
import { Pace } from '../../src/projections/audit/pace.ts';
import { Refold } from '../../src/projections/audit/refold.ts';
import { sliceOf } from '../../src/projections/audit/slice.ts';
import { keyText } from '../../src/projections/engine/row-key.ts';
import { logStart } from '../../src/eventstore/port.ts';
import { parkedRow } from '../../src/projections/engine/storage.ts';
import { balance, readModels } from '../../src/projections/index.ts';
import { happening, Historian } from '../projections/support/history.ts';
import { MemoryEventStore } from '../support/memory-event-store.ts';
import { someWorld } from './support/world.ts';

async function logOf(happenings: Parameters<Historian['append']>[0]): Promise<MemoryEventStore> {
  const store = new MemoryEventStore();
  await new Historian(store).append(happenings);
  return store;
}

const nothingHeld = new Holds({ parked: new Map(), dropped: new Set() });

test('the stream a row names is the stream of every event for it, and its key can be written and read', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(happening, { maxLength: 60 }), async (happenings) => {
      const { log } = await logOf(happenings);
      for (const model of readModels) {
        for (const stored of log) {
          const event = decodeEvent(stored);
          if (!model.handles.includes(event.type)) continue;
          for (const key of model.keys({ ...stored, event })) {
            expect(keyText(keyFrom(model, keyTexts(key)))).toBe(keyText(key));
            if (!isStreamModel(model)) continue;
            expect(model.streamOf(key)).toBe(stored.stream);
            if (model.revisionOf) expect(model.revisionOf(key)).toBe(stored.revision);
          }
        }
      }
    }),
    { numRuns: 50 },
  );
  expect(readModels.filter(isStreamModel).map(({ name }) => name)).toEqual([
    'balance',
    'statement',
    'orders',
    'stock',
    'programme',
  ]);
});

test('amounts add up to the balances that accounts state, and any penny more or less shows', async () => {
  const { log } = await logOf(someWorld(30, 0, 11));
  const refold = new Refold(balance, nothingHeld, () => true);
  const ledgers = new Map<string, ReturnType<typeof ledgerOf>>();
  for (const stored of log) {
    refold.take(stored);
    const event = readableMoneyEvent(stored);
    if (!event) continue;
    const text = keyText([event.data.member, event.data.currency]);
    ledgers.set(text, posted(ledgers.get(text) ?? emptyLedger, event));
  }
  expect(refold.rows.size).toBeGreaterThan(20);
  for (const [text, { row }] of refold.rows) {
    const held = row as Parameters<typeof ledgerOf>[0];
    const right = ledgers.get(text) ?? emptyLedger;
    expect(ledgerOf(held)).toEqual(right);
    expect(imbalance(ledgerOf({ ...held, debt_minor: held.debt_minor + 1n }), right)).toBe(1n);
    // A penny moved within an account is no less wrong for the sum being right.
    const moved = { ...held, paid_minor: held.paid_minor + 1n, reserved_minor: held.reserved_minor - 1n };
    expect(imbalance(ledgerOf(moved), right)).toBe(2n);
    expect(ledgerFrom(ledgerTexts(right))).toEqual(right);
  }
});

describe('a refold', () => {
  test('leaves out what is parked, from its first event on, and says nothing of what was dropped', async () => {
    const { log } = await logOf(someWorld(6, 0, 3));
    const key = ['member-1', 'GBP'];
    const own = log.filter(({ stream }) => stream === 'account-member-1~GBP');
    const at = own[Math.floor(own.length / 2)]?.position.commit ?? 0n;
    const scope = parkedRow(keyText(key));
    const parked = new Refold(
      balance,
      new Holds({ parked: new Map([[scope, at]]), dropped: new Set() }),
      () => true,
    );
    const before = new Refold(balance, nothingHeld, () => true);
    for (const stored of log) {
      parked.take(stored);
      if (stored.position.commit < at || !own.includes(stored)) before.take(stored);
    }
    expect(parked.rows).toEqual(before.rows);
    const dropped = new Refold(
      balance,
      new Holds({ parked: new Map(), dropped: new Set([scope]) }),
      () => true,
    );
    for (const stored of log) dropped.take(stored);
    expect(dropped.excepts(keyText(key))).toBe(true);
    expect(dropped.excepts(keyText(['member-0', 'GBP']))).toBe(false);
  });

  test('in slices makes the same rows, each of them once', async () => {
    const { log } = await logOf(someWorld(10, 200, 4));
    for (const model of readModels) {
      const whole = new Refold(model, nothingHeld, () => true);
      const slices = Array.from(
        { length: 5 },
        (_, n) => new Refold(model, nothingHeld, (text) => sliceOf(text, 5) === n),
      );
      for (const stored of log) for (const one of [whole, ...slices]) one.take(stored);
      const merged = slices.flatMap(({ rows }) => [...rows]);
      expect(merged).toHaveLength(whole.rows.size);
      expect(new Map(merged)).toEqual(whole.rows);
    }
  });
});

test('keys fall into slices about evenly', () => {
  const counts = Array.from({ length: 8 }, () => 0);
  for (let i = 0; i < 8_000; i++) {
    const slice = sliceOf(keyText([`member-${i}`, 'GBP']), 8);
    counts[slice] = (counts[slice] ?? 0) + 1;
  }
  for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(200);
});

test('a part of the log ends where it is told to, wherever the log ends', async () => {
  const store = await logOf(someWorld(4, 60, 5));
  const signal = new AbortController().signal;
  const upTo = store.log[20]?.position ?? logStart;
  const part = await logPart(store, logStart, upTo, 1_000, signal);
  expect(part.events).toEqual(store.log.slice(0, 21));
  expect(part.through).toEqual(upTo);
  expect((await logPart(store, upTo, upTo, 10, signal)).events).toEqual([]);
  const end = await store.head();
  const rest = await logPart(store, upTo, end, 1_000, signal);
  expect(rest.events).toEqual(store.log.slice(21));
  const aborted = AbortSignal.abort(new Error('enough'));
  await expect(logPart(store, logStart, end, 1_000, aborted)).rejects.toThrow('enough');
});

test('over any stretch no more is looked at than the rates allow', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ rows: fc.nat(50), events: fc.nat(500), other: fc.nat(300) }), { minLength: 1 }),
      async (work) => {
        let now = 0;
        const timing = {
          monotonic: () => now,
          sleep: (ms: number): Promise<void> => {
            now += ms;
            return Promise.resolve();
          },
        };
        const pace = new Pace({ rowsPerSecond: 100, eventsPerSecond: 1_000 }, timing);
        let [rows, events] = [0, 0];
        for (const one of work) {
          now += one.other;
          await pace.spend(one.rows, one.events, new AbortController().signal);
          rows += one.rows;
          events += one.events;
          expect(rows).toBeLessThanOrEqual(now / 10 + 1);
          expect(events).toBeLessThanOrEqual(now + 10);
        }
      },
    ),
  );
});
