import type { ReleaseOn, Rule } from '../../gen/tallyback/events/v1/programme.ts';

/** `at` is business time: when it happened, not when we heard of it. */
export type ProgrammeCommand =
  | {
      readonly kind: 'publish-rule-set';
      readonly merchant: string;
      readonly at: Date;
      /** The next dense version, or undefined to take it. */
      readonly version: number | undefined;
      readonly validFrom: Date;
      readonly validUntil: Date | undefined;
      readonly priority: number;
      readonly rules: readonly Rule[];
      readonly holdDays: number;
      readonly releaseOn: ReleaseOn;
    }
  | {
      readonly kind: 'retire-rule-set';
      readonly merchant: string;
      readonly at: Date;
      readonly version: number;
      readonly retiredAt: Date;
    };
