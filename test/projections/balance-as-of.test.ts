/** A balance at a point in time is what the account held then, by every other way to know it. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { accountAggregate, type AccountCommand, type AccountEvent } from '../../src/domain/account/index.ts';
import { present } from '../../src/domain/aggregate.ts';
import { emptyLedger, ledgerOf, posted } from '../../src/projections/audit/money.ts';
import { BalanceAsOf } from '../../src/projections/balance/balance-as-of.ts';
import { balance, type BalanceEventType, type BalanceRow } from '../../src/projections/balance/balance.ts';
import type { LoggedEvent } from '../../src/projections/engine/read-model.ts';
import { history } from '../domain/account-histories.ts';
import { adjust, day, earn100, releaseDue, takeReturn, withdraw } from '../domain/samples.ts';

type Logged = LoggedEvent<BalanceEventType>;

const isMoney = (event: AccountEvent): event is Logged['event'] =>
  event.type !== 'CommandRefused' && event.type !== 'CommandUnchanged';

function logOf(commands: readonly AccountCommand[]): Logged[] {
  let state = accountAggregate.initial();
  const log: Logged[] = [];
  for (const command of commands) {
    const decision = accountAggregate.decide(state, command);
    if (decision.kind === 'refused') continue;
    for (const event of decision.events) {
      state = accountAggregate.evolve(state, event);
      const at = BigInt(log.length + 1);
      if (isMoney(event))
        log.push({ event, stream: 's', revision: log.length, position: { commit: at, prepare: at } });
    }
  }
  return log;
}

function asOf(log: readonly Logged[], until: Date | undefined): BalanceAsOf {
  const found = new BalanceAsOf(until);
  for (const logged of log) found.take(logged);
  return found;
}

const folded = (log: readonly Logged[]): BalanceRow | undefined =>
  log.reduce<BalanceRow | undefined>((row, logged) => balance.fold(row, logged, []), undefined);

const timeOf = ({ event }: Logged): number => present(event.data.occurredAt, 'occurred_at').getTime();

test('at a position it is the read model, folded up to there', () => {
  fc.assert(
    fc.property(history, fc.nat(), (commands, n) => {
      const log = logOf(commands);
      const beginning = log.slice(0, n % (log.length + 1));
      const found = asOf(beginning, undefined);
      expect(found.row).toEqual(folded(beginning));
      expect([found.lateEvents, found.dueMinor]).toEqual([0, undefined]);
    }),
    { numRuns: 500 },
  );
});

test('at a business time it is the sum of the postings that had happened, whenever they were recorded', () => {
  const seen = { late: 0, inTime: 0 };
  fc.assert(
    fc.property(history, fc.integer({ min: -1, max: 91 }).map(day), (commands, until) => {
      const log = logOf(commands);
      const found = asOf(log, until);
      const happened = log.filter((logged) => timeOf(logged) <= until.getTime());
      expect(found.row === undefined).toBe(happened.length === 0);
      if (!found.row) return;
      expect(ledgerOf(found.row)).toEqual(
        happened.reduce((sum, { event }) => posted(sum, event), emptyLedger),
      );
      expect(found.row.revision).toBe(BigInt(happened.at(-1)?.revision ?? -1));

      const firstLater = log.findIndex((logged) => timeOf(logged) > until.getTime());
      const late = firstLater < 0 ? 0 : happened.filter(({ revision }) => revision > firstLater).length;
      expect(found.lateEvents).toBe(late);
      seen[late > 0 ? 'late' : 'inTime']++;
      if (late > 0) {
        expect(found.dueMinor).toBeUndefined();
        return;
      }
      // What had happened is a beginning of the stream: the account held just that, and a decision would have seen
      // the same with what was due released.
      expect(found.row).toEqual(folded(happened));
      const state = happened.reduce(
        (before, { event }) => accountAggregate.evolve(before, event),
        accountAggregate.initial(),
      );
      const decision = accountAggregate.decide(state, releaseDue(until));
      const [released] = decision.kind === 'accepted' ? decision.events : [];
      expect(found.dueMinor).toBe(released?.type === 'RebateReleased' ? released.data.amountMinor : 0n);
    }),
    { numRuns: 1_000 },
  );
  expect(Math.min(seen.late, seen.inTime)).toBeGreaterThan(50);
});

test('what was due is said, and still pending', () => {
  // Earned on day 0, held for 30 days; the next decision is on day 40.
  const log = logOf([earn100(), withdraw({ at: day(40) })]);
  const due = (n: number) => asOf(log, day(n)).dueMinor;
  expect([due(0), due(29), due(30), due(39), due(40)]).toEqual([0n, 0n, 100n, 100n, 0n]);
  expect(asOf(log, day(39)).row).toMatchObject({ pending_minor: 100n, available_minor: 0n });
  expect(asOf(log, day(40)).row).toMatchObject({ pending_minor: 0n, reserved_minor: 100n });
});

test('a late report counts where it happened, as it was booked', () => {
  // The money is withdrawn on day 40; on day 41 a return of day 35 is heard of, and becomes debt.
  const log = logOf([
    earn100(),
    withdraw({ at: day(40) }),
    takeReturn({ at: day(35) }),
    adjust({ at: day(45) }),
  ]);
  expect(asOf(log, day(34))).toMatchObject({ lateEvents: 0, dueMinor: 100n });
  const found = asOf(log, day(36));
  expect(found.row).toMatchObject({
    pending_minor: 100n,
    debt_minor: 40n,
    accrued_minor: 100n,
    reversed_minor: 40n,
  });
  expect([found.lateEvents, found.dueMinor]).toEqual([1, undefined]);
  expect(asOf(log, day(40)).lateEvents).toBe(0);
});
