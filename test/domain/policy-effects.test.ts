/**
 * What policies do leads to nothing more. A query that asks for effects rests on it: it waits until every policy has
 * seen the token once (src/api/queries/consistency.ts), not for chains.
 */
import { describe, expect, test } from 'vitest';
import { eventCodecs, type EventType } from '../../src/domain/events.ts';
import { policies } from '../../src/domain/policies/index.ts';
import type { Policy, PolicyCommand } from '../../src/domain/policies/policy.ts';
import * as accountEvents from '../../src/gen/tallyback/events/v1/account.ts';
import * as commandEvents from '../../src/gen/tallyback/events/v1/command.ts';
import * as itemEvents from '../../src/gen/tallyback/events/v1/item.ts';

/** By the kind of aggregate that policies command: an aggregate that is added there has to be added here. */
const eventsOf: Readonly<Record<PolicyCommand['aggregate'], object>> = {
  account: accountEvents,
  item: itemEvents,
};

/** Event types that a policy's command can lead to: those of its aggregate, and what becomes of any command. */
const effects = new Set<string>(
  Object.entries(eventCodecs)
    .filter(([, codec]) =>
      [...Object.values(eventsOf), commandEvents].some((events) => Object.values(events).includes(codec)),
    )
    .map(([type]) => type),
);

const chained = (all: readonly Pick<Policy, 'name' | 'handles'>[]): string[] =>
  all.flatMap(({ name, handles }) =>
    handles.filter((type) => effects.has(type)).map((type) => `${name}: ${type}`),
  );

describe('what policies do', () => {
  test('is account and item events, and outcomes of commands', () => {
    expect([...effects]).toEqual(
      expect.arrayContaining<EventType>([
        'RebateAccrued',
        'ReturnTaken',
        'StockSold',
        'StockTakenBack',
        'CommandRefused',
        'CommandUnchanged',
      ]),
    );
    expect([...effects]).not.toContain('OrderTracked');
  });

  test('is handled by no policy', () => {
    expect(policies.length).toBeGreaterThan(1);
    expect(chained(policies)).toEqual([]);
  });

  test('would be found if it were', () => {
    const planted = {
      name: 'planted',
      handles: ['OrderTracked', 'RebateAccrued', 'CommandRefused'] as const,
    };
    expect(chained([...policies, planted])).toEqual(['planted: RebateAccrued', 'planted: CommandRefused']);
  });
});
