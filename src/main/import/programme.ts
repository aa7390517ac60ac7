/** What purchases in the file earn: one rule set, published before anything else. */
import type { Connection } from '../client/connect.ts';
import { patiently, RpcError, unary } from '../client/unary.ts';
import {
  type PublishRuleSetRequest,
  ReleaseOn,
} from '../../gen/tallyback/programme/v1/programme_command_service.ts';
import { programmeRequestId, source } from './ids.ts';
import { ImportStopped } from './options.ts';

// Before any row, and the same for every file: two parts of a year are one programme.
const validFrom = new Date('1970-01-01T00:00:00Z');

export interface ProgrammeTerms {
  readonly rebateBps: number;
  readonly holdDays: number;
}

function programmeRequest({ rebateBps, holdDays }: ProgrammeTerms): PublishRuleSetRequest {
  return {
    requestId: programmeRequestId(),
    merchant: source,
    version: 1,
    occurredAt: validFrom,
    ruleSet: {
      validFrom,
      validUntil: undefined,
      priority: 0,
      rules: [
        { ruleId: 'products', categories: ['product'], skus: [], excludedSkus: [], rateBps: rebateBps },
      ],
      holdDays,
      releaseOn: ReleaseOn.TRACKED,
    },
  };
}

const otherRules: ReadonlySet<string> = new Set([
  'REQUEST_ID_REUSED',
  'RULE_SET_VERSION_MISMATCH',
  'RULE_SET_WINDOW_OVERLAP',
]);

/** Rejects with ImportStopped where the merchant has other rules already. */
export async function publishProgramme(
  { programmeCommands }: Connection,
  terms: ProgrammeTerms,
  patienceMs: number,
  signal: AbortSignal,
): Promise<void> {
  const request = programmeRequest(terms);
  try {
    await patiently(
      () => unary(programmeCommands, programmeCommands.publishRuleSet, request, { signal }),
      patienceMs,
      signal,
    );
  } catch (error) {
    if (error instanceof RpcError && otherRules.has(error.failure.reason))
      throw new ImportStopped(
        `this data folder was imported under other rules than ${terms.rebateBps} bps and ${terms.holdDays} days ` +
          `(${error.failure.reason}): use the same ones, or an empty data folder`,
      );
    throw error;
  }
}
