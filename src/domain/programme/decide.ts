import { accept, refuse, type Decision } from '../aggregate.ts';
import { ReleaseOn, type Rule } from '../../gen/tallyback/events/v1/programme.ts';
import type { ProgrammeCommand } from './commands.ts';
import {
  endOfCover,
  latestRuleSet,
  type ProgrammeEventType,
  type ProgrammeState,
  type RuleSet,
} from './state.ts';

type ProgrammeDecision = Decision<ProgrammeEventType>;
type Publish = Extract<ProgrammeCommand, { kind: 'publish-rule-set' }>;
type Retire = Extract<ProgrammeCommand, { kind: 'retire-rule-set' }>;

const MAX_RATE_BPS = 10_000;
const MAX_HOLD_DAYS = 3_650;
const INT32_MAX = 2 ** 31 - 1;

export function decideProgramme(state: ProgrammeState, command: ProgrammeCommand): ProgrammeDecision {
  switch (command.kind) {
    case 'publish-rule-set':
      return publish(state, command);
    case 'retire-rule-set':
      return retire(state, command);
  }
}

function publish(state: ProgrammeState, command: Publish): ProgrammeDecision {
  const invalid = checkRuleSet(command);
  if (invalid !== undefined) return invalid;
  const latest = latestRuleSet(state);
  if (latest !== undefined && isRepeat(latest, command)) return accept();
  const next = state.ruleSets.length + 1;
  if (command.version !== undefined && command.version !== next) {
    return refuse(
      'precondition',
      'RULE_SET_VERSION_MISMATCH',
      `the next version is ${next}, not ${command.version}`,
    );
  }
  const overlapping = state.ruleSets.find(
    (other) => other.priority === command.priority && overlaps(other, command),
  );
  if (overlapping !== undefined) {
    return refuse(
      'precondition',
      'RULE_SET_WINDOW_OVERLAP',
      `version ${overlapping.version} covers a part of this window with the same priority`,
    );
  }
  return accept({
    type: 'RuleSetPublished',
    data: {
      merchant: command.merchant,
      version: next,
      occurredAt: command.at,
      validFrom: command.validFrom,
      validUntil: command.validUntil,
      priority: command.priority,
      rules: [...command.rules],
      holdDays: command.holdDays,
      releaseOn: command.releaseOn,
    },
  });
}

function retire(state: ProgrammeState, command: Retire): ProgrammeDecision {
  const ruleSet = state.ruleSets[command.version - 1];
  if (ruleSet === undefined) {
    return refuse('not-found', 'RULE_SET_NOT_FOUND', `there is no version ${command.version}`);
  }
  if (endOfCover(ruleSet) <= command.retiredAt.getTime()) return accept();
  return accept({
    type: 'RuleSetRetired',
    data: {
      merchant: command.merchant,
      version: command.version,
      occurredAt: command.at,
      retiredAt: command.retiredAt,
    },
  });
}

/**
 * The latest version again. A retired one is only repeated under its own number: without a number, publishing
 * it again means that it shall count again.
 */
function isRepeat(latest: RuleSet, command: Publish): boolean {
  const sameNumber =
    command.version === undefined ? latest.retiredAt === undefined : command.version === latest.version;
  return (
    sameNumber &&
    latest.validFrom.getTime() === command.validFrom.getTime() &&
    latest.validUntil?.getTime() === command.validUntil?.getTime() &&
    latest.priority === command.priority &&
    latest.holdDays === command.holdDays &&
    latest.releaseOn === command.releaseOn &&
    latest.rules.length === command.rules.length &&
    latest.rules.every(({ rule }, i) => sameRule(rule, command.rules[i]))
  );
}

const sameRule = (a: Rule, b: Rule | undefined): boolean =>
  b !== undefined &&
  a.ruleId === b.ruleId &&
  a.rateBps === b.rateBps &&
  sameList(a.categories, b.categories) &&
  sameList(a.skus, b.skus) &&
  sameList(a.excludedSkus, b.excludedSkus);

const sameList = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((value, i) => value === b[i]);

function overlaps(ruleSet: RuleSet, window: Publish): boolean {
  const from = Math.max(ruleSet.validFrom.getTime(), window.validFrom.getTime());
  const until = Math.min(endOfCover(ruleSet), window.validUntil?.getTime() ?? Infinity);
  return from < until;
}

function checkRuleSet(command: Publish): Decision<never> | undefined {
  const { rules, holdDays, validFrom, validUntil, priority } = command;
  if (rules.length === 0) return refuse('invalid', 'NO_RULES', 'a rule set needs at least one rule');
  const ids = new Set(rules.map((rule) => rule.ruleId));
  if (ids.has('')) return refuse('invalid', 'RULE_ID_REQUIRED', 'every rule needs an id');
  if (ids.size !== rules.length) return refuse('invalid', 'DUPLICATE_RULE_ID', 'rule ids must be unique');
  const wrongRate = rules.find((rule) => !isWithin(rule.rateBps, 0, MAX_RATE_BPS));
  if (wrongRate !== undefined) {
    return refuse(
      'invalid',
      'RATE_OUT_OF_BOUNDS',
      `rule ${wrongRate.ruleId}: 0 to ${MAX_RATE_BPS} basis points`,
    );
  }
  if (!isWithin(holdDays, 0, MAX_HOLD_DAYS)) {
    return refuse('invalid', 'HOLD_DAYS_OUT_OF_BOUNDS', `0 to ${MAX_HOLD_DAYS} days`);
  }
  if (!isWithin(priority, -INT32_MAX, INT32_MAX)) {
    return refuse('invalid', 'PRIORITY_OUT_OF_BOUNDS', 'a priority is a 32-bit integer');
  }
  if (validUntil !== undefined && validUntil.getTime() <= validFrom.getTime()) {
    return refuse('invalid', 'EMPTY_WINDOW', 'the window ends before it starts');
  }
  if (command.releaseOn === ReleaseOn.UNSPECIFIED || command.releaseOn === ReleaseOn.UNRECOGNIZED) {
    return refuse('invalid', 'RELEASE_ON_REQUIRED', 'say what releases a rebate');
  }
  return undefined;
}

const isWithin = (value: number, low: number, high: number): boolean =>
  Number.isInteger(value) && value >= low && value <= high;
