/* oxlint-disable vitest/no-standalone-expect -- these are what tests assert with */
/**
 * given(accountAggregate, accrued, released).when(command).thenHappens('WithdrawalRequested')
 *
 * The past is told as commands that were accepted. Every decision is taken twice and must be the same, and
 * must leave the state as it was.
 */
import { expect } from 'vitest';
import type { Aggregate, Decision, Refusal } from '../../src/domain/aggregate.ts';
import type { DomainEvent, EventData, EventType } from '../../src/domain/events.ts';

/** Decides, and checks on the way that deciding is a pure function of state and command. */
export function decidePurely<State, Command, T extends EventType>(
  aggregate: Aggregate<State, Command, T>,
  state: State,
  command: Command,
): Decision<T> {
  const before = structuredClone(state);
  const decision = aggregate.decide(state, command);
  expect(state).toEqual(before);
  expect(aggregate.decide(state, command)).toEqual(decision);
  return decision;
}

/** The state after commands that must all be accepted. */
export function stateAfter<State, Command, T extends EventType>(
  aggregate: Aggregate<State, Command, T>,
  past: readonly Command[],
): State {
  return past.reduce<State>((state, command) => {
    const decision = aggregate.decide(state, command);
    if (decision.kind === 'refused') expect.fail(`the past was refused: ${decision.refusal.reason}`);
    return decision.events.reduce<State>((folded, event) => aggregate.evolve(folded, event), state);
  }, aggregate.initial());
}

export function given<State, Command, T extends EventType>(
  aggregate: Aggregate<State, Command, T>,
  ...past: readonly Command[]
) {
  return {
    when: (command: Command) => new Outcome<T>(decidePurely(aggregate, stateAfter(aggregate, past), command)),
    /** For what a state says, rather than what it decides. */
    state: () => stateAfter(aggregate, past),
  };
}

class Outcome<T extends EventType> {
  readonly #decision: Decision<T>;

  constructor(decision: Decision<T>) {
    this.#decision = decision;
  }

  /** Events of just these types, in this order. */
  thenHappens(...types: readonly T[]): this {
    expect(this.#events().map((event) => event.type)).toEqual(types);
    return this;
  }

  /** The one event of this type says at least this. */
  saying<K extends T>(type: K, data: Partial<EventData<K>>): this {
    const found = this.#events().filter((event) => event.type === type);
    expect(found).toHaveLength(1);
    expect(found[0]?.data).toMatchObject(data);
    return this;
  }

  thenNothingHappens(): void {
    expect(this.#events()).toEqual([]);
  }

  thenRefused(reason: string, refusalClass?: Refusal['class']): void {
    if (this.#decision.kind === 'accepted') expect.fail(`accepted, not refused with ${reason}`);
    expect(this.#decision.refusal.reason).toBe(reason);
    if (refusalClass !== undefined) expect(this.#decision.refusal.class).toBe(refusalClass);
  }

  #events(): readonly DomainEvent<T>[] {
    if (this.#decision.kind === 'refused') expect.fail(`refused: ${this.#decision.refusal.reason}`);
    return this.#decision.events;
  }
}
