/** `tallyback import online-retail`: reads and checks the file, sends it, reports. */
import { setMaxListeners } from 'node:events';
import { connect } from '../client/connect.ts';
import { IngestFailed } from '../client/ingest-session.ts';
import { RpcError } from '../client/unary.ts';
import { ReadConsistency } from '../../gen/tallyback/common/v1/consistency.ts';
import { WindowLength } from '../../gen/tallyback/figures/v1/figures_query_service.ts';
import { invoiceBook } from './invoices.ts';
import { type ImportIo, type ImportOptions, ImportStopped, type ImportSummary } from './options.ts';
import { publishProgramme } from './programme.ts';
import { showProgress } from './progress.ts';
import { ImportFileError, readFile } from './read-file.ts';
import { readWindows, type ReportSource, writeReport } from './report.ts';
import { sendAll } from './send.ts';
import { summaryLines } from './summary.ts';
import { newTally } from './tally.ts';

export type { ImportIo, ImportOptions, ImportSummary } from './options.ts';

const again = 'Nothing is lost: run the same command again, and it goes on where it stopped.';

/** Resolves also when the import could not be completed: what stood in the way has been printed then. */
export async function runImport(options: ImportOptions, io: ImportIo): Promise<ImportSummary> {
  const startedAt = io.clock().getTime();
  // Every call under way listens to it.
  const signal = AbortSignal.any([io.signal]);
  setMaxListeners(0, signal);
  const tally = newTally();
  let rows = 0;
  const progress = showProgress(io, () => rows);
  const summary = (completed: boolean, orphanLines = 0n, orphanUnits = 0n): ImportSummary => {
    const seconds = (io.clock().getTime() - startedAt) / 1_000;
    return { completed, rows, tally, orphanLines, orphanUnits, seconds };
  };

  try {
    const book = invoiceBook();
    progress.stage(`reading ${options.file}`);
    const onProgress = (read: number): void => progress.stage(`reading ${options.file}: ${read} rows`);
    rows = await readFile({
      path: options.file,
      onRow: (row) => book.add(row),
      onProgress,
      signal,
    });
    const connection = connect(options.target);
    try {
      const giveUpAfterMs = options.giveUpAfterMs ?? 120_000;
      progress.stage('');
      await publishProgramme(connection, options, giveUpAfterMs, signal);
      const { withdrawMonthly } = options;
      const token = await sendAll({
        connection,
        runs: book.runs,
        withdrawMonthly,
        giveUpAfterMs,
        tally,
        progress,
        signal,
      });
      const maxWait = { seconds: 20n, nanos: 0 };
      const from: ReportSource = {
        connection,
        consistency: ReadConsistency.fromPartial({ atLeast: token, maxWait }),
        signal,
      };
      progress.stage('reading the figures back');
      const days = await readWindows(from, WindowLength.DAY);
      const orphanLines = days.reduce((sum, day) => sum + day.orphanLines, 0n);
      const orphanUnits = days.reduce((sum, day) => sum + day.orphanUnits, 0n);
      if (options.report !== undefined) await writeReport(from, options.report);
      progress.end();
      const result = summary(true, orphanLines, orphanUnits);
      for (const line of summaryLines(result, options.report)) progress.say(line);
      return result;
    } finally {
      connection.close();
    }
  } catch (error) {
    progress.end();
    for (const line of explain(error, signal)) progress.say(line);
    return summary(false);
  }
}

/** What went wrong, in words; a failure nobody foresaw is thrown on, with its stack. */
function explain(error: unknown, signal: AbortSignal): readonly string[] {
  if (signal.aborted) return ['Interrupted.', again];
  if (error instanceof ImportFileError) return [error.message, 'Nothing was sent.'];
  if (error instanceof ImportStopped) return [`Stopped: ${error.message}.`];
  if (error instanceof IngestFailed || error instanceof RpcError) return [`Stopped: ${error.message}`, again];
  throw error;
}
