/** What purchases earn. */
import { present } from '../../domain/aggregate.ts';
import {
  ProgrammeCommandServiceService as methods,
  PublishRuleSetRequest,
  RetireRuleSetRequest,
} from '../../gen/tallyback/programme/v1/programme_command_service.ts';
import { mapping } from './mapping.ts';

export const publishRuleSet = mapping({
  method: methods.publishRuleSet,
  type: PublishRuleSetRequest,
  toCommand(r: PublishRuleSetRequest, now) {
    const ruleSet = present(r.ruleSet, 'rule_set');
    return {
      aggregate: 'programme',
      command: {
        kind: 'publish-rule-set',
        merchant: r.merchant,
        at: r.occurredAt ?? now(),
        version: r.version === 0 ? undefined : r.version,
        validFrom: present(ruleSet.validFrom, 'valid_from'),
        validUntil: ruleSet.validUntil,
        priority: ruleSet.priority,
        rules: ruleSet.rules,
        holdDays: ruleSet.holdDays,
        // Both enums have the same values; the test of the mappings holds them together.
        releaseOn: ruleSet.releaseOn,
      },
    };
  },
});

export const retireRuleSet = mapping({
  method: methods.retireRuleSet,
  type: RetireRuleSetRequest,
  toCommand: (r: RetireRuleSetRequest, now) => ({
    aggregate: 'programme',
    command: {
      kind: 'retire-rule-set',
      merchant: r.merchant,
      at: r.occurredAt ?? now(),
      version: r.version,
      retiredAt: present(r.retiredAt, 'retired_at'),
    },
  }),
});
