/**
 * The explanation of one rebate: what the account booked (proved by the domain's explainer), the order reports that
 * caused it, and the published rules, which are applied to the reported lines once more.
 */
import { readMetadata } from '../../application/metadata.ts';
import {
  type EntryExplanation,
  EntryExplainer,
  type EntryStep,
  type ExplainedLine,
  rebateEventTypes,
} from '../../domain/account/index.ts';
import { BrokenInvariant, present } from '../../domain/aggregate.ts';
import type { DomainEvent } from '../../domain/events.ts';
import { evaluateLine, programmeAggregate } from '../../domain/programme/index.ts';
import type { RuleSet } from '../../domain/programme/state.ts';
import { accountStream, orderStreamOf, programmeStream } from '../../domain/streams.ts';
import type { Position } from '../../eventstore/port.ts';
import type { OrderLine } from '../../gen/tallyback/events/v1/order.ts';
import type { LogReads } from './log-reads.ts';

const orderEventTypes = [
  'OrderTracked',
  'OrderAmended',
  'LinesReturned',
  'OrderConfirmed',
  'OrderDeclined',
  'OrderRestored',
  'OrderSettled',
] as const;
type OrderEvent = DomainEvent<(typeof orderEventTypes)[number]>;

export interface TracedStep extends EntryStep {
  /** Of the account. */
  readonly revision: number;
  /** The report because of which it was decided; undefined: none of this order, or nobody noted it. */
  readonly report: OrderEvent | undefined;
}

export interface AppliedRule {
  readonly ruleId: string;
  readonly rateBps: number;
  readonly ruleSet: RuleSet;
}

export interface RebateAccount {
  readonly entry: EntryExplanation;
  readonly steps: readonly TracedStep[];
  readonly rules: readonly AppliedRule[];
  /** By line number, where it is known. */
  readonly categories: ReadonlyMap<number, string>;
}

export interface RebateOf {
  readonly member: string;
  readonly currency: string;
  readonly entryId: string;
}

/** As of a position; undefined: the account has no such entry. Throws BrokenInvariant for what does not add up. */
export async function explainRebate(
  reads: LogReads,
  { member, currency, entryId }: RebateOf,
  through: Position,
  signal: AbortSignal,
): Promise<RebateAccount | undefined> {
  const explainer = new EntryExplainer(entryId, currency);
  const caused: { readonly step: EntryStep; readonly revision: number; readonly by: string | undefined }[] =
    [];
  // Entry ids are percent-encoded: in JSON they stand as they are.
  const mention = JSON.stringify(entryId);
  await reads.each(
    {
      stream: accountStream(member, currency),
      through,
      types: rebateEventTypes,
      concerns: ({ data }) => data.includes(mention),
      signal,
    },
    ({ recorded, event }) => {
      const step = explainer.take(event);
      if (step === undefined) return;
      const by = readMetadata(recorded.metadata)?.causationId;
      caused.push({ step, revision: recorded.revision, by });
    },
  );
  const entry = explainer.result();
  if (entry === undefined) return undefined;

  const reports = await reportsOf(reads, entryId, through, signal);
  const steps = caused.map(({ step, revision, by }) => ({
    ...step,
    revision,
    report: reportOf(step, by, reports),
  }));
  const evaluations = steps.flatMap(evaluationsIn);
  const rules = await rulesOf(reads, entry.merchant, evaluations, through, signal);
  const categories = new Map<number, string>();
  for (const { line, reported } of evaluations) {
    if (reported) categories.set(line.lineNo, reported.category);
    else categories.delete(line.lineNo);
  }
  return { entry, steps, rules, categories };
}

async function reportsOf(
  reads: LogReads,
  entryId: string,
  through: Position,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, OrderEvent>> {
  const reports = new Map<string, OrderEvent>();
  await reads.each(
    { stream: orderStreamOf(entryId), through, types: orderEventTypes, signal },
    ({ recorded, event }) => {
      reports.set(recorded.id, event);
    },
  );
  return reports;
}

/** Releases come with whatever decision was next, and returns without an order from another document. */
function reportOf(
  { event }: EntryStep,
  by: string | undefined,
  reports: ReadonlyMap<string, OrderEvent>,
): OrderEvent | undefined {
  if (by === undefined || event.type === 'RebateReleased' || event.type === 'ReturnTaken') return undefined;
  return present(reports.get(by), `report ${by} that caused ${event.type}`);
}

interface Evaluation {
  readonly line: ExplainedLine;
  /** The line of the report. */
  readonly reported: OrderLine | undefined;
}

function evaluationsIn({ lines, report }: TracedStep): Evaluation[] {
  const reported = linesIn(report);
  return lines
    .filter(({ before }) => before === undefined)
    .map(({ after: line }) => ({
      line,
      reported:
        report && present(reported.get(line.lineNo), `line ${line.lineNo} in the report that booked it`),
    }));
}

function linesIn(report: OrderEvent | undefined): ReadonlyMap<number, OrderLine> {
  const lines =
    report?.type === 'OrderTracked'
      ? report.data.lines
      : report?.type === 'OrderAmended'
        ? report.data.changes.flatMap(({ after }) => (after === undefined ? [] : [after]))
        : [];
  return new Map(lines.map((line) => [line.lineNo, line]));
}

/** The rules that lines were evaluated under, each applied anew. */
async function rulesOf(
  reads: LogReads,
  merchant: string,
  evaluations: readonly Evaluation[],
  through: Position,
  signal: AbortSignal,
): Promise<readonly AppliedRule[]> {
  const wanted = new Set(evaluations.map(({ line }) => line.ruleSetVersion));
  const ruleSets = new Map<number, RuleSet>();
  await reads.each(
    { stream: programmeStream(merchant), through, types: ['RuleSetPublished'], signal },
    ({ event }) => {
      if (!wanted.has(event.data.version)) return;
      const [ruleSet] = programmeAggregate.evolve(programmeAggregate.initial(), event).ruleSets;
      if (ruleSet) ruleSets.set(ruleSet.version, ruleSet);
    },
  );
  const rules = new Map<string, AppliedRule>();
  for (const { line, reported } of evaluations) {
    const ruleSet = present(
      ruleSets.get(line.ruleSetVersion),
      `rule set ${line.ruleSetVersion} of ${merchant}`,
    );
    const { ruleId, rateBps } = line;
    if (!ruleSet.rules.some(({ rule }) => rule.ruleId === ruleId && rule.rateBps === rateBps))
      throw new BrokenInvariant(
        `rule set ${ruleSet.version} has no rule ${ruleId} of ${rateBps} basis points`,
      );
    if (reported) proveEvaluated(line, reported, ruleSet);
    rules.set(`${ruleSet.version} ${ruleId}`, { ruleId, rateBps, ruleSet });
  }
  return [...rules.values()];
}

/** That the rule set makes of the reported line what was booked: rule, rate and hold. */
function proveEvaluated(line: ExplainedLine, reported: OrderLine, ruleSet: RuleSet): void {
  const at = line.orderedAt.getTime();
  const covers = ruleSet.validFrom.getTime() <= at && at < (ruleSet.validUntil?.getTime() ?? Infinity);
  const evaluated = evaluateLine(ruleSet, reported);
  if (
    !covers ||
    evaluated?.sku !== line.sku ||
    evaluated.ruleId !== line.ruleId ||
    evaluated.rateBps !== line.rateBps ||
    evaluated.orderedAt?.getTime() !== at ||
    evaluated.maturesAt?.getTime() !== line.maturesAt.getTime()
  )
    throw new BrokenInvariant(`rule set ${ruleSet.version} makes something else of line ${line.lineNo}`);
}
