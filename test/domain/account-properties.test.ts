/* oxlint-disable vitest/expect-expect -- outcomes assert: see given-when-then.ts */
/** What an account guarantees, whatever happens to it (docs/guarantees.md). */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  accountAggregate,
  postings,
  type AccountCommand,
  type AccountEvent,
  type AccountState,
  type LedgerAccount,
} from '../../src/domain/account/index.ts';
import { present } from '../../src/domain/aggregate.ts';
import { lineAmountMinor, rebateMinor } from '../../src/domain/money.ts';
import {
  RebateCause,
  type AccountBalance,
  type RebateLineChange,
} from '../../src/gen/tallyback/events/v1/account.ts';
import { history } from './account-histories.ts';
import { decidePurely } from './given-when-then.ts';
import { day, rebateLine, retarget, takeReturn } from './samples.ts';

/** Runs a history; refused commands are passed over. Calls back after every event and every command. */
function live(
  commands: readonly AccountCommand[],
  after: {
    readonly event?: (event: AccountEvent, state: AccountState) => void;
    readonly command?: (command: AccountCommand, state: AccountState) => void;
  } = {},
): { readonly state: AccountState; readonly events: readonly AccountEvent[] } {
  let state = accountAggregate.initial();
  const events: AccountEvent[] = [];
  for (const command of commands) {
    const decision = decidePurely(accountAggregate, state, command);
    if (decision.kind === 'refused') continue;
    for (const event of decision.events) {
      state = accountAggregate.evolve(state, event);
      events.push(event);
      after.event?.(event, state);
    }
    after.command?.(command, state);
  }
  return { state, events };
}

const holds = (check: (commands: readonly AccountCommand[]) => void): void =>
  fc.assert(fc.property(history, check), { numRuns: 300 });

function expectSound(b: AccountBalance): void {
  expect(b.accrued - b.reversed + b.adjusted).toBe(b.pending + b.available + b.reserved + b.paid - b.debt);
  for (const part of [b.pending, b.available, b.reserved, b.paid, b.debt]) {
    expect(part).toBeGreaterThanOrEqual(0n);
  }
  expect(b.available === 0n || b.debt === 0n).toBe(true);
  expect(b.reversed).toBeLessThanOrEqual(b.accrued);
}

test('money is conserved, nothing is negative, and nobody has money and debt at once', () => {
  holds((commands) => {
    live(commands, { event: (_event, state) => expectSound(state.balance) });
  });
});

test('every event is balanced postings, and they add up to the balance it carries', () => {
  holds((commands) => {
    const ledger = new Map<LedgerAccount, bigint>();
    const total = (account: LedgerAccount) => ledger.get(account) ?? 0n;
    live(commands, {
      event: (event, { balance }) => {
        const legs = postings(event);
        expect(legs.reduce((sum, leg) => sum + leg.amountMinor, 0n)).toBe(0n);
        for (const { account, amountMinor } of legs) ledger.set(account, total(account) + amountMinor);
        expect({
          pending: -total('member_pending'),
          available: -total('member_available'),
          reserved: -total('member_reserved'),
          debt: total('member_debt'),
          paid: -total('bank'),
          net: total('rebate_expense'),
          adjusted: total('adjustment'),
        }).toEqual({
          pending: balance.pending,
          available: balance.available,
          reserved: balance.reserved,
          debt: balance.debt,
          paid: balance.paid,
          net: balance.accrued - balance.reversed,
          adjusted: balance.adjusted,
        });
      },
    });
  });
});

test('every line earns the floor of what counts, nothing when declined; the held ones are what is pending', () => {
  holds((commands) => {
    live(commands, {
      event: (_event, { entries, balance }) => {
        const lines = [...entries.values()].flatMap((entry) => [...entry.lines.values()]);
        for (const line of lines) {
          const amount = lineAmountMinor(line.unitPrice, line.quantity, 'GBP');
          expect(line.rebate).toBe(line.entry.declined ? 0n : rebateMinor(amount, line.rateBps));
          expect(line.quantity).toBeGreaterThanOrEqual(0n);
        }
        const sum = (some: typeof lines) => some.reduce((total, line) => total + line.rebate, 0n);
        expect(sum(lines)).toBe(balance.accrued - balance.reversed);
        expect(sum(lines.filter((line) => !line.released))).toBe(balance.pending);
      },
    });
  });
});

/** What the lines of an event say that it moves, up or down. */
function movedByLines(event: AccountEvent): bigint | undefined {
  const sum = (changes: readonly RebateLineChange[]) =>
    changes.reduce((total, c) => total + c.rebateAfter - c.rebateBefore, 0n);
  switch (event.type) {
    case 'RebateAccrued':
      return event.data.lines.reduce((total, line) => total + line.rebateMinor, sum(event.data.changes));
    case 'RebateReversed':
      return -sum(event.data.changes);
    case 'ReturnTaken':
      return -sum(event.data.lines.flatMap((line) => line.matched));
    default:
      return undefined;
  }
}

test('the amount of an event is the sum of what its lines say', () => {
  holds((commands) => {
    for (const event of live(commands).events) {
      const moved = movedByLines(event);
      const amount = moved !== undefined && 'amountMinor' in event.data ? event.data.amountMinor : undefined;
      expect(moved).toBe(amount);
    }
  });
});

test('every unit of a return is matched or an orphan', () => {
  holds((commands) => {
    const returns = live(commands).events.filter((event) => event.type === 'ReturnTaken');
    for (const { matched, quantity, orphanQuantity } of returns.flatMap((event) => event.data.lines)) {
      const units = matched.reduce((sum, m) => sum + m.quantityBefore - m.quantityAfter, 0n);
      expect(units + orphanQuantity).toBe(quantity);
    }
  });
});

test('the same command again changes nothing but what is due by then', () => {
  holds((commands) => {
    live(commands, {
      command: (command, state) => {
        const again = accountAggregate.decide(state, command);
        const events = again.kind === 'accepted' ? again.events : [again];
        expect(events.filter((event) => !('type' in event) || event.type !== 'RebateReleased')).toEqual([]);
      },
    });
  });
});

test('after any decision at a time, nothing that was due before it is still held; what is released stays so', () => {
  holds((commands) => {
    const released = new Set<string>();
    live(commands, {
      event: (event, { entries }) => {
        if (event.type !== 'RebateReleased') return;
        for (const { entryId, lineNos } of event.data.entries) {
          for (const lineNo of lineNos) {
            const line = present(entries.get(entryId)?.lines.get(lineNo), 'a released line');
            expect(line.maturesAt).toBeLessThanOrEqual(event.data.occurredAt?.getTime() ?? 0);
            expect(line.released).toBe(true);
            released.add(`${entryId}/${lineNo}`);
          }
        }
      },
      command: (command, state) => {
        const decision = accountAggregate.decide(state, { ...command, kind: 'release-due' });
        const held = [...state.entries.values()].flatMap((entry) =>
          entry.releasedBySource && !entry.declined
            ? [...entry.lines.values()].filter((l) => !l.released && l.maturesAt <= command.at.getTime())
            : [],
        );
        expect(decision).toMatchObject({ kind: 'accepted', events: held.length === 0 ? [] : [{}] });
      },
    });
  });
});

test('a state is the fold of its events, however often it is folded', () => {
  holds((commands) => {
    const { state, events } = live(commands);
    const folded = events.reduce((s, event) => accountAggregate.evolve(s, event), accountAggregate.initial());
    expect(folded).toEqual(state);
  });
});

test('refunds are exact: what comes back in whole leaves no rebate, in whatever parts it comes', () => {
  const purchase = fc.record({
    quantity: fc.bigInt({ min: 1n, max: 30n }),
    unitPrice: fc.constantFrom('0.01', '0.37', '2.05', '7.125', '19.99'),
    rateBps: fc.integer({ min: 0, max: 10_000 }),
  });
  const parts = fc.array(fc.bigInt({ min: 1n, max: 9n }), { maxLength: 12 });
  fc.assert(
    fc.property(purchase, parts, fc.boolean(), ({ quantity, ...price }, some, named) => {
      const commands = [retarget({ added: [rebateLine({ quantity, ...price })] })];
      let left = quantity;
      for (const [n, part] of [...some, quantity].entries()) {
        const units = part < left ? part : left;
        if (units === 0n) break;
        left -= units;
        const { unitPrice } = price;
        commands.push(
          named
            ? retarget({ cause: RebateCause.RETURNED, changed: [{ lineNo: 1, quantity: left, unitPrice }] })
            : takeReturn({
                at: day(n),
                returnId: `web~C${n}`,
                lines: [{ lineNo: 1, sku: 'mug', quantity: units, unitPrice }],
              }),
        );
      }
      const { balance } = live(commands).state;
      expect(balance.accrued - balance.reversed).toBe(0n);
      expect([balance.pending, balance.available, balance.debt]).toEqual([0n, 0n, 0n]);
    }),
  );
});
