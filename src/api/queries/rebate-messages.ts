/** An explained rebate as a message. */
import type { ExplainedLine, LineStep } from '../../domain/account/index.ts';
import { RebateCause } from '../../gen/tallyback/events/v1/account.ts';
import { ReleaseOn as StoredReleaseOn } from '../../gen/tallyback/events/v1/programme.ts';
import { ReleaseOn } from '../../gen/tallyback/programme/v1/programme_command_service.ts';
import {
  type AppliedRule as AppliedRuleMessage,
  type LineArithmetic,
  type LineStep as LineStepMessage,
  type RebateExplanation,
  type RebateStep,
  RebateStepCause,
} from '../../gen/tallyback/account/v1/rebate_explanation.ts';
import type { AppliedRule, RebateAccount, TracedStep } from './explain-rebate.ts';

export const explanationOf = (
  entryId: string,
  { entry, steps, rules, categories }: RebateAccount,
): RebateExplanation => ({
  entryId,
  merchant: entry.merchant,
  releaseOn: releaseOns[entry.releaseOn],
  releaseConditionHolds: entry.conditionHolds,
  declined: entry.declined,
  accruedMinor: entry.accruedMinor,
  reversedMinor: entry.reversedMinor,
  pendingMinor: entry.pendingMinor,
  releasedMinor: entry.releasedMinor,
  lines: entry.lines.map((line) => ({
    arithmetic: arithmeticOf(line),
    category: categories.get(line.lineNo) ?? '',
    orderedAt: line.orderedAt,
    maturesAt: line.maturesAt,
    releasedAt: line.releasedAt,
    takenQuantity: line.taken,
  })),
  rules: rules.map(ruleOf),
  steps: steps.map(stepOf),
});

const arithmeticOf = (line: ExplainedLine): LineArithmetic => ({
  lineNo: line.lineNo,
  sku: line.sku,
  quantity: line.quantity,
  unitPrice: line.unitPrice,
  amountMinor: line.amountMinor,
  ruleSetVersion: line.ruleSetVersion,
  ruleId: line.ruleId,
  rateBps: line.rateBps,
  earnsMinor: line.earnsMinor,
  roundedOff: line.roundedOff,
  rebateMinor: line.rebateMinor,
});

const ruleOf = ({ ruleId, rateBps, ruleSet }: AppliedRule): AppliedRuleMessage => ({
  ruleSetVersion: ruleSet.version,
  ruleId,
  rateBps,
  holdDays: ruleSet.holdDays,
  releaseOn: releaseOns[ruleSet.releaseOn],
  validFrom: ruleSet.validFrom,
  validUntil: ruleSet.validUntil,
  priority: ruleSet.priority,
});

const stepOf = (step: TracedStep): RebateStep => ({
  revision: BigInt(step.revision),
  occurredAt: step.occurredAt,
  cause: causeOf(step),
  returnId: returnIdOf(step),
  reason: step.report?.type === 'OrderDeclined' ? step.report.data.reason : '',
  sourceVersion: step.report && 'sourceVersion' in step.report.data ? step.report.data.sourceVersion : 0n,
  earnedMinor: step.earnedMinor,
  pendingMinor: step.pendingMinor,
  releasedMinor: step.releasedMinor,
  lines: step.lines.map(lineStepOf),
});

const lineStepOf = ({ before, after }: LineStep): LineStepMessage => ({
  after: arithmeticOf(after),
  evaluated: before === undefined,
  quantityBefore: before?.quantity ?? 0n,
  rebateBeforeMinor: before?.rebateMinor ?? 0n,
  releasedBefore: before?.releasedAt !== undefined,
});

const returnIdOf = ({ event, report }: TracedStep): string => {
  if (event.type === 'ReturnTaken') return event.data.returnId;
  return report?.type === 'LinesReturned' ? report.data.returnId : '';
};

function causeOf({ event }: TracedStep): RebateStepCause {
  switch (event.type) {
    case 'RebateAccrued':
    case 'RebateReversed':
      return causes[event.data.cause];
    case 'ReturnTaken':
      return RebateStepCause.RETURN_MATCHED;
    case 'RebateConfirmed':
      return RebateStepCause.CONDITION_FULFILLED;
    case 'RebateReleased':
      return RebateStepCause.RELEASED;
  }
}

const causes: Readonly<Record<RebateCause, RebateStepCause>> = {
  [RebateCause.TRACKED]: RebateStepCause.TRACKED,
  [RebateCause.AMENDED]: RebateStepCause.AMENDED,
  [RebateCause.RETURNED]: RebateStepCause.RETURNED,
  [RebateCause.DECLINED]: RebateStepCause.DECLINED,
  [RebateCause.RESTORED]: RebateStepCause.RESTORED,
  [RebateCause.UNSPECIFIED]: RebateStepCause.UNSPECIFIED,
  [RebateCause.UNRECOGNIZED]: RebateStepCause.UNSPECIFIED,
};

const releaseOns: Readonly<Record<StoredReleaseOn, ReleaseOn>> = {
  [StoredReleaseOn.TRACKED]: ReleaseOn.TRACKED,
  [StoredReleaseOn.CONFIRMED]: ReleaseOn.CONFIRMED,
  [StoredReleaseOn.SETTLED]: ReleaseOn.SETTLED,
  [StoredReleaseOn.UNSPECIFIED]: ReleaseOn.UNSPECIFIED,
  [StoredReleaseOn.UNRECOGNIZED]: ReleaseOn.UNSPECIFIED,
};
