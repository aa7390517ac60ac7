/**
 * A merchant's programme: the rule sets it has published. One covers the order times of its window
 * [validFrom, validUntil), cut short at `retiredAt` when it has been retired.
 */
import { BrokenInvariant, present } from '../aggregate.ts';
import type { DomainEvent } from '../events.ts';
import type { ReleaseOn, Rule, RuleSetPublished } from '../../gen/tallyback/events/v1/programme.ts';

export type ProgrammeEventType = 'RuleSetPublished' | 'RuleSetRetired' | 'CommandRefused' | 'CommandUnchanged';
export type ProgrammeEvent = DomainEvent<ProgrammeEventType>;

/** A rule with its lists as sets: a rule may name thousands of SKUs, and every line asks. */
export interface IndexedRule {
  readonly rule: Rule;
  readonly categories: ReadonlySet<string>;
  readonly skus: ReadonlySet<string>;
  readonly excludedSkus: ReadonlySet<string>;
}

export interface RuleSet {
  readonly version: number;
  readonly validFrom: Date;
  /** Undefined: open. */
  readonly validUntil: Date | undefined;
  readonly retiredAt: Date | undefined;
  readonly priority: number;
  readonly rules: readonly IndexedRule[];
  readonly holdDays: number;
  readonly releaseOn: ReleaseOn;
}

export interface ProgrammeState {
  /** Version n at index n − 1. */
  ruleSets: RuleSet[];
}

export const initialProgramme = (): ProgrammeState => ({ ruleSets: [] });

export const latestRuleSet = (state: ProgrammeState): RuleSet | undefined => state.ruleSets.at(-1);

/** The time, in milliseconds, from which the rule set covers nothing more; Infinity: none. */
export function endOfCover(ruleSet: RuleSet): number {
  return Math.min(ruleSet.validUntil?.getTime() ?? Infinity, ruleSet.retiredAt?.getTime() ?? Infinity);
}

export function evolveProgramme(state: ProgrammeState, event: ProgrammeEvent): ProgrammeState {
  switch (event.type) {
    case 'RuleSetPublished':
      state.ruleSets.push(ruleSetOf(event.data));
      return state;
    case 'RuleSetRetired': {
      const { version, retiredAt } = event.data;
      const ruleSet = state.ruleSets[version - 1];
      if (ruleSet === undefined)
        throw new BrokenInvariant(`rule set ${version} was retired but never published`);
      state.ruleSets[version - 1] = {
        ...ruleSet,
        retiredAt: present(retiredAt, 'RuleSetRetired.retired_at'),
      };
      return state;
    }
    case 'CommandRefused':
    case 'CommandUnchanged':
      return state;
  }
}

const ruleSetOf = (published: RuleSetPublished): RuleSet => ({
  version: published.version,
  validFrom: present(published.validFrom, 'RuleSetPublished.valid_from'),
  validUntil: published.validUntil,
  retiredAt: undefined,
  priority: published.priority,
  rules: published.rules.map((rule) => ({
    rule,
    categories: new Set(rule.categories),
    skus: new Set(rule.skus),
    excludedSkus: new Set(rule.excludedSkus),
  })),
  holdDays: published.holdDays,
  releaseOn: published.releaseOn,
});
