/** Counts what became of everything that was sent. */
import type { IngestRecord, IngestVerdict } from '../client/ingest-session.ts';

export interface Outcomes {
  accepted: number;
  duplicate: number;
  /** By reason. */
  readonly refused: Map<string, number>;
}

export interface Tally {
  /** Orders, returns and stock adjustments. */
  readonly documents: Outcomes;
  /** Refusals here are part of the plan: most members have too little to withdraw. */
  readonly withdrawals: Outcomes;
  readonly settlements: Outcomes;
  readonly releases: Outcomes;
  /** Rows of documents that were refused, here or by the server. */
  rowsRefused: number;
  /** The first few refusals of documents, for people. */
  readonly examples: string[];
}

const outcomes = (): Outcomes => ({ accepted: 0, duplicate: 0, refused: new Map() });

export const newTally = (): Tally => ({
  documents: outcomes(),
  withdrawals: outcomes(),
  settlements: outcomes(),
  releases: outcomes(),
  rowsRefused: 0,
  examples: [],
});

const mostExamples = 10;

/** Withdrawals that do not come about: there was too little, as for most members in most months. */
const expected: ReadonlySet<string> = new Set([
  'BELOW_MINIMUM',
  'NOTHING_TO_WITHDRAW',
  'INSUFFICIENT_BALANCE',
]);

export const isExpectedRefusal = (reason: string): boolean => expected.has(reason);

function refuse(counts: Outcomes, reason: string): void {
  counts.refused.set(reason, (counts.refused.get(reason) ?? 0) + 1);
}

export function refuseDocument(tally: Tally, reason: string, message: string, rows: number): void {
  refuse(tally.documents, reason);
  tally.rowsRefused += rows;
  if (tally.examples.length < mostExamples) tally.examples.push(`${reason}: ${message}`);
}

function outcomesOf(tally: Tally, record: IngestRecord): Outcomes {
  switch (record.$case) {
    case 'requestWithdrawal':
      return tally.withdrawals;
    case 'settleWithdrawal':
      return tally.settlements;
    case 'releaseDue':
      return tally.releases;
    default:
      return tally.documents;
  }
}

export function count(tally: Tally, record: IngestRecord, verdict: IngestVerdict): void {
  const counts = outcomesOf(tally, record);
  if (verdict.$case !== 'refused') {
    counts[verdict.$case] += 1;
    return;
  }
  const { reason, message, field } = verdict.value;
  if (counts !== tally.documents) {
    refuse(counts, reason);
    return;
  }
  const what = 'externalId' in record.value ? `invoice ${record.value.externalId}: ` : '';
  const lines = 'lines' in record.value ? record.value.lines.length : 0;
  refuseDocument(tally, reason, `${what}${message}${field ? ` (${field})` : ''}`, lines);
}

export const refusedInAll = (counts: Outcomes): number =>
  [...counts.refused.values()].reduce((sum, times) => sum + times, 0);
