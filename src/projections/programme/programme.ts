/** The rule sets that merchants have published. */
import { present } from '../../domain/aggregate.ts';
import { Rule, releaseOnToJSON } from '../../gen/tallyback/events/v1/programme.ts';
import { programmeStream } from '../../domain/streams.ts';
import { defineReadModel, type RowOf } from '../engine/read-model.ts';

const columns = {
  merchant: 'text',
  version: 'integer',
  valid_from: 'timestamptz',
  /** Not included; undefined: open. */
  valid_until: { type: 'timestamptz', nullable: true },
  priority: 'integer',
  /** A JSON array of rules (proto3 JSON of tallyback.events.v1.Rule; programme.v1.Rule reads the same). */
  rules: 'json',
  hold_days: 'integer',
  /** Name of the proto enum's value, such as "RELEASE_ON_CONFIRMED". */
  release_on: 'text',
  published_at: 'timestamptz',
  /** Covers no order times from then on. */
  retired_at: { type: 'timestamptz', nullable: true },
} as const;

export type ProgrammeRow = RowOf<typeof columns>;

export const programme = defineReadModel({
  name: 'programme',
  version: 1,
  table: { columns, key: ['merchant', 'version'] },
  handles: ['RuleSetPublished', 'RuleSetRetired'],
  streamOf: ([merchant]) => programmeStream(String(merchant)),
  keys: ({ event: { data } }) => [[data.merchant, data.version]],
  fold(row, { event: { type, data } }): ProgrammeRow {
    switch (type) {
      case 'RuleSetPublished':
        return {
          merchant: data.merchant,
          version: data.version,
          valid_from: present(data.validFrom, 'validFrom'),
          valid_until: data.validUntil,
          priority: data.priority,
          rules: JSON.stringify(data.rules.map((rule) => Rule.toJSON(rule))),
          hold_days: data.holdDays,
          release_on: releaseOnToJSON(data.releaseOn),
          published_at: present(data.occurredAt, 'occurredAt'),
          retired_at: undefined,
        };
      case 'RuleSetRetired':
        return { ...present(row, 'the rule set'), retired_at: data.retiredAt };
    }
  },
});
