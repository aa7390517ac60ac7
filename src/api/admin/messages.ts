/** Generations and parked events as the contract has them. */
import { comparePositions, type Position } from '../../eventstore/port.ts';
import {
  type Generation as GenerationMessage,
  GenerationState,
  type ParkedEvent as ParkedEventMessage,
  type ParkedScope as ParkedScopeMessage,
  type RebuildReport,
  RebuildStage,
  RebuildWish,
} from '../../gen/tallyback/admin/v1/projection_admin_service.ts';
import type { GenerationReport, ParkedScope } from '../../projections/engine/operator.ts';
import type { Comparison, Generation, ParkedEvent } from '../../projections/engine/storage.ts';
import type { ApiContext } from '../context.ts';
import { cleanText } from '../errors.ts';

const states = {
  building: GenerationState.BUILDING,
  serving: GenerationState.SERVING,
  kept: GenerationState.KEPT,
  dropped: GenerationState.DROPPED,
} as const satisfies Record<Generation['state'], GenerationState>;

const stages = {
  loading: RebuildStage.LOADING,
  indexing: RebuildStage.INDEXING,
  'catching-up': RebuildStage.CATCHING_UP,
  verifying: RebuildStage.VERIFYING,
  differs: RebuildStage.DIFFERS,
  failed: RebuildStage.FAILED,
  done: RebuildStage.DONE,
} as const satisfies Record<Generation['stage'], RebuildStage>;

const wishes = {
  run: RebuildWish.RUN,
  pause: RebuildWish.PAUSE,
  cancel: RebuildWish.CANCEL,
} as const satisfies Record<Generation['wish'], RebuildWish>;

/** Rows can be large, and a message has room for 20 of them twice. */
const longestRow = 8_192;
const longestStack = 8_192;

type Parts = Pick<ApiContext, 'tokens' | 'countEvents'>;

export function generationMessage(
  report: GenerationReport,
  head: Position,
  { tokens, countEvents }: Parts,
): GenerationMessage {
  const { failure, position, remainingSeconds, report: compared } = report;
  const lag = comparePositions(position, head) >= 0 ? 0n : countEvents?.(position, head);
  return {
    projection: report.model,
    number: report.number,
    version: report.version,
    state: states[report.state],
    stage: stages[report.stage],
    wish: wishes[report.wish],
    dryRun: report.dryRun,
    positionToken: tokens.encode(position),
    lagEvents: lag ?? -1n,
    owner: report.owner ?? '',
    ableInstances: [...report.able],
    failure: failure && {
      error: cleanText(failure.error, longestStack),
      stack: cleanText(failure.stack ?? '', longestStack),
      positionToken: failure.at ? tokens.encode(failure.at) : '',
    },
    requestedAt: report.requestedAt,
    finishedAt: report.finishedAt,
    events: report.events,
    eventsPerSecond: report.eventsPerSecond ?? 0,
    remaining:
      remainingSeconds === undefined ? undefined : { seconds: BigInt(Math.ceil(remainingSeconds)), nanos: 0 },
    targetToken: report.target ? tokens.encode(report.target) : '',
    report: compared?.comparison && reportMessage(compared.comparison),
    parkedEvents: report.parked,
  };
}

const reportMessage = ({ rows, checksum, differences, examples }: Comparison): RebuildReport => ({
  rowsBefore: rows.before,
  rowsAfter: rows.after,
  checksumBefore: checksum.before,
  checksumAfter: checksum.after,
  differences,
  examples: examples.map(({ key, before, after }) => ({
    key: cleanText(key, longestRow),
    before: cleanText(before ?? '', longestRow),
    after: cleanText(after ?? '', longestRow),
  })),
});

export const parkedEventMessage = (
  { stream, revision, type, position, error, stack }: ParkedEvent,
  { tokens }: Parts,
): ParkedEventMessage => ({
  stream,
  revision: BigInt(revision),
  type,
  positionToken: tokens.encode(position),
  error: cleanText(error ?? '', longestStack),
  stack: cleanText(stack ?? '', longestStack),
});

export const parkedScopeMessage = (
  { model, generation, scope, events, first, parkedAt }: ParkedScope,
  parts: Parts,
): ParkedScopeMessage => ({
  projection: model,
  generation,
  scope,
  events,
  first: parkedEventMessage(first, parts),
  parkedAt,
});
