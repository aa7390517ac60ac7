/** What an entry earned is explained to the penny, or not at all. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  accountAggregate,
  EntryExplainer,
  type AccountCommand,
  type AccountEvent,
  type EntryStep,
  rebateEventTypes,
  type RebateEvent,
} from '../../src/domain/account/index.ts';
import { BrokenInvariant } from '../../src/domain/aggregate.ts';
import { encodeEvent, decodeEvent } from '../../src/domain/codec.ts';
import { history } from './account-histories.ts';

function eventsOf(commands: readonly AccountCommand[]): AccountEvent[] {
  let state = accountAggregate.initial();
  return commands.flatMap((command) => {
    const decision = accountAggregate.decide(state, command);
    if (decision.kind === 'refused') return [];
    for (const event of decision.events) state = accountAggregate.evolve(state, event);
    return decision.events;
  });
}

const types = new Set<string>(rebateEventTypes);
const isRebateEvent = (event: { readonly type: string }): event is RebateEvent => types.has(event.type);

const entryIds = ['web~A1', 'web~A2', 'web~A3'];

function explain(entryId: string, events: readonly RebateEvent[]) {
  const explainer = new EntryExplainer(entryId, 'GBP');
  const steps = events.flatMap((event) => explainer.take(event) ?? []);
  return { steps, entry: explainer.result() };
}

const total = (amounts: readonly bigint[]): bigint => amounts.reduce((sum, amount) => sum + amount, 0n);
const earned = (steps: readonly EntryStep[]): bigint => total(steps.map((step) => step.earnedMinor));

test('whatever happens to an account, its entries explain all that was accrued, reversed and released', () => {
  fc.assert(
    fc.property(history, (commands) => {
      const events = eventsOf(commands);
      const state = events.reduce(
        (folded, event) => accountAggregate.evolve(folded, event),
        accountAggregate.initial(),
      );
      const explained = entryIds.map((entryId) => explain(entryId, events.filter(isRebateEvent)));

      const sum = (of: 'accruedMinor' | 'reversedMinor' | 'pendingMinor' | 'releasedMinor') =>
        total(explained.map(({ entry }) => entry?.[of] ?? 0n));
      expect(sum('accruedMinor')).toBe(state.balance.accrued);
      expect(sum('reversedMinor')).toBe(state.balance.reversed);
      expect(sum('pendingMinor')).toBe(state.balance.pending);

      for (const [n, { entry, steps }] of explained.entries()) {
        const known = state.entries.get(entryIds[n] ?? '');
        expect(entry === undefined).toBe(known === undefined);
        expect(earned(steps)).toBe((entry?.accruedMinor ?? 0n) - (entry?.reversedMinor ?? 0n));
        expect(entry?.declined).toBe(known?.declined);
        expect(entry?.conditionHolds).toBe(known?.releasedBySource);
        expect(
          entry?.lines.map((line) => [line.lineNo, line.quantity, line.taken, line.rebateMinor]),
        ).toEqual(
          known &&
            [...known.lines.values()]
              .toSorted((a, b) => a.lineNo - b.lineNo)
              .map((line) => [line.lineNo, line.quantity, line.taken, line.rebate]),
        );
        expect(entry?.lines.map((line) => line.releasedAt !== undefined)).toEqual(
          known &&
            [...known.lines.values()].toSorted((a, b) => a.lineNo - b.lineNo).map((line) => line.released),
        );
      }
    }),
    { numRuns: 500 },
  );
});

/** Where an event states an amount, a quantity, a rate or a price of the entry, as paths into its JSON. */
function amountsIn(json: unknown, path: readonly (string | number)[] = []): (readonly (string | number)[])[] {
  if (typeof json !== 'object' || json === null) return [];
  return Object.entries(json).flatMap(([key, value]: [string, unknown]) => {
    const here = [...path, key];
    if (key === 'balance') return [];
    return money.has(key) ? [here] : amountsIn(value, here);
  });
}

/** Of a return without an order, quantity and unit_price are what was asked for, not what was booked. */
const money = new Set(
  'amountMinor toPending toAvailable debtRecovered fromPending fromAvailable toDebt rebateMinor rebateBefore rebateAfter quantityBefore'.split(
    ' ',
  ),
);

function withOneMore(event: RebateEvent, path: readonly (string | number)[]): RebateEvent {
  const { type, data } = encodeEvent(event);
  const json: unknown = JSON.parse(data);
  let at = json;
  for (const key of path.slice(0, -1)) at = Reflect.get(Object(at), key);
  const last = path.at(-1) ?? '';
  const changed: unknown = Reflect.get(Object(at), last);
  Reflect.set(Object(at), last, String(BigInt(String(changed)) + 1n));
  const spoilt = decodeEvent({ type, data: JSON.stringify(json) });
  if (!isRebateEvent(spoilt)) throw new TypeError(spoilt.type);
  return spoilt;
}

/** What an event books of several entries is shared by them; here there is one. */
const ofOneEntry = history.map((commands) =>
  commands.map((command): AccountCommand =>
    'entryId' in command ? { ...command, entryId: 'web~A1' } : command,
  ),
);

test('a booked amount that is one off is never explained away', () => {
  let spoilt = 0;
  fc.assert(
    fc.property(ofOneEntry, fc.nat(), fc.nat(), (commands, which, where) => {
      const events = eventsOf(commands).filter(isRebateEvent);
      const places = events.map((event) => amountsIn(JSON.parse(encodeEvent(event).data)));
      const candidates = events.flatMap((event, n) => (places[n]?.length ? [{ event, n }] : []));
      const chosen = candidates[which % candidates.length];
      if (chosen === undefined) return;
      // A return that found nothing on the entry is none of its business.
      if (explain('web~A1', [...events]).steps.every((step) => step.event !== chosen.event)) return;
      // What of a release paid a debt is the account's doing: the entry does not know of debts.
      const paths = (places[chosen.n] ?? []).filter(
        (path) => chosen.event.type !== 'RebateReleased' || path.at(-1) !== 'debtRecovered',
      );
      const path = paths[where % paths.length];
      if (!path) return;
      spoilt++;
      const tampered = events.with(chosen.n, withOneMore(chosen.event, path));
      expect(() => explain('web~A1', tampered), `${chosen.event.type} ${path.join('.')}`).toThrow(
        BrokenInvariant,
      );
    }),
    { numRuns: 1_000 },
  );
  expect(spoilt).toBeGreaterThan(200);
});
