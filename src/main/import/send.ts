/**
 * Carries out the plan over one Ingest stream.
 *
 * Running it again after it was killed anywhere ends in the same state. Every request id follows from the file, so
 * what was done is answered from store — a withdrawal that was accepted as a duplicate, which is settled (again), one
 * that was refused with the same refusal, whatever has become of the account since. And what was not done comes in
 * the same order as it would have: per member by the stream, per month by waiting for everything before it.
 */
import { awaitEffects } from '../client/effects.ts';
import type { Connection } from '../client/connect.ts';
import { type IngestRecord, IngestSession, type IngestVerdict } from '../client/ingest-session.ts';
import { currency, releaseRequestId, settlementRequestId, withdrawalRequestId } from './ids.ts';
import type { Run } from './invoices.ts';
import { ImportStopped } from './options.ts';
import { plan, type Step } from './plan.ts';
import type { Progress } from './progress.ts';
import { count, refuseDocument, type Tally } from './tally.ts';

const window = 512;
/** Read models that are behind are waited for as long as that; a year's backlog takes seconds. */
const lagPatienceMs = 600_000;

export interface SendOptions {
  readonly connection: Connection;
  readonly runs: readonly Run[];
  readonly withdrawMonthly: number | undefined;
  readonly giveUpAfterMs: number;
  readonly tally: Tally;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Gives the token of the moment when all was in effect. */
export async function sendAll(options: SendOptions): Promise<string> {
  const { connection, runs, withdrawMonthly, giveUpAfterMs, tally, progress, signal } = options;
  let month = '';
  let rows = 0;
  let settled: IngestRecord[] = [];

  const onVerdict = (record: IngestRecord, verdict: IngestVerdict): void => {
    count(tally, record, verdict);
    if (record.$case !== 'requestWithdrawal') return;
    if (verdict.$case !== 'refused')
      settled.push(settlement(month, record.value.member, record.value.occurredAt));
    else if (verdict.value.reason === 'REQUEST_ID_REUSED')
      throw new ImportStopped(
        `the withdrawals of ${month} were made under another --withdraw-monthly: use the same, or an empty data folder`,
      );
  };
  const session = new IngestSession({
    client: connection.ingest,
    window,
    onVerdict,
    onLost: (why, retryInMs) => progress.say(`connection lost (${why}); again in ${retryInMs} ms`),
    giveUpAfterMs,
    signal,
  });
  const send = async (records: Iterable<IngestRecord>): Promise<void> => {
    for (const record of records) {
      const room = session.room();
      if (room) await room;
      session.send(record);
    }
    await session.answered();
  };
  const effects = async (): Promise<string> => {
    await session.answered();
    return awaitEffects(connection, { signal, lagPatienceMs, patienceMs: giveUpAfterMs });
  };
  const turnOfMonth = async (step: Step & { kind: 'month' }): Promise<void> => {
    progress.stage(`turn to ${step.month}: waiting for effects`);
    await effects();
    if (withdrawMonthly !== undefined) {
      month = step.month;
      settled = [];
      progress.stage(`turn to ${step.month}: withdrawals`);
      await send(withdrawals(step, BigInt(withdrawMonthly)));
      await send(settled);
    }
    progress.stage('');
  };

  try {
    for (const step of plan(runs)) {
      if (step.kind === 'month') {
        await turnOfMonth(step);
        continue;
      }
      const { document } = step;
      if (document.kind === 'record') {
        const room = session.room();
        if (room) await room;
        session.send(document.record);
      } else if (document.kind === 'refused') {
        refuseDocument(tally, document.reason, document.message, document.rows);
      }
      rows += step.rows;
      progress.rows(rows);
    }
    progress.stage('waiting for effects');
    await effects();
    progress.stage('releasing what is due');
    await send(releases(runs));
    progress.stage('waiting for effects');
    return await effects();
  } finally {
    await session.close();
  }
}

function* withdrawals(
  { month, at, members }: Step & { kind: 'month' },
  minimumMinor: bigint,
): Iterable<IngestRecord> {
  for (const member of members) {
    yield {
      $case: 'requestWithdrawal',
      value: {
        requestId: withdrawalRequestId(month, member),
        member,
        currency,
        occurredAt: at,
        withdrawalId: `month-${month}`,
        amountMinor: 0n,
        minimumMinor,
      },
    };
  }
}

const settlement = (month: string, member: string, occurredAt: Date | undefined): IngestRecord => ({
  $case: 'settleWithdrawal',
  value: {
    requestId: settlementRequestId(month, member),
    member,
    currency,
    occurredAt,
    withdrawalId: `month-${month}`,
  },
});

/** The clock ends at the last row: what is due by then is released for everybody. */
function* releases(runs: readonly Run[]): Iterable<IngestRecord> {
  const last = runs.at(-1);
  if (!last) return;
  const members = new Set(runs.map((run) => run.invoice.member));
  for (const member of members) {
    if (member === '') continue;
    const requestId = releaseRequestId(last.at, member);
    yield { $case: 'releaseDue', value: { requestId, member, currency, occurredAt: last.at } };
  }
}
