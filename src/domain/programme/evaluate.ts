/** What a line earns: which rule set covers its order time, which rule matches, and the arithmetic. */
import { present } from '../aggregate.ts';
import { priceMicros, rebateMinor } from '../money.ts';
import { endOfCover, type IndexedRule, type ProgrammeState, type RuleSet } from './state.ts';
import type { RebateLine } from '../../gen/tallyback/events/v1/account.ts';
import type { OrderLine } from '../../gen/tallyback/events/v1/order.ts';
import type { Rule } from '../../gen/tallyback/events/v1/programme.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

/** Of the rule sets that cover the time, the one with the highest priority. */
export function ruleSetInForce(state: ProgrammeState, at: Date): RuleSet | undefined {
  const time = at.getTime();
  let best: RuleSet | undefined;
  for (const ruleSet of state.ruleSets) {
    const covers = ruleSet.validFrom.getTime() <= time && time < endOfCover(ruleSet);
    if (covers && (best === undefined || ruleSet.priority > best.priority)) best = ruleSet;
  }
  return best;
}

/** The first rule that matches; whether the line's goods or their price could earn at all is not asked. */
export function matchingRule(
  ruleSet: RuleSet,
  line: { readonly sku: string; readonly category: string },
): Rule | undefined {
  return ruleSet.rules.find((rule) => matches(rule, line))?.rule;
}

const matches = (
  { categories, skus, excludedSkus }: IndexedRule,
  line: { readonly sku: string; readonly category: string },
): boolean =>
  (categories.size === 0 || categories.has(line.category)) &&
  (skus.size === 0 || skus.has(line.sku)) &&
  !excludedSkus.has(line.sku);

/**
 * The evaluation of a line, or undefined when it earns nothing: no rule matches, or no units or a price of 0.
 * A rebate that rounds down to 0 is still an evaluation: later returns are matched with the line.
 */
export function evaluateLine(ruleSet: RuleSet, line: OrderLine): RebateLine | undefined {
  if (line.quantity <= 0n || priceMicros(line.unitPrice) <= 0n) return undefined;
  const rule = matchingRule(ruleSet, line);
  if (rule === undefined) return undefined;
  const orderedAt = present(line.orderedAt, 'OrderLine.ordered_at');
  return {
    lineNo: line.lineNo,
    sku: line.sku,
    quantity: line.quantity,
    unitPrice: line.unitPrice,
    amountMinor: line.amountMinor,
    ruleSetVersion: ruleSet.version,
    ruleId: rule.ruleId,
    rateBps: rule.rateBps,
    rebateMinor: rebateMinor(line.amountMinor, rule.rateBps),
    orderedAt,
    maturesAt: new Date(orderedAt.getTime() + ruleSet.holdDays * DAY_MS),
  };
}
