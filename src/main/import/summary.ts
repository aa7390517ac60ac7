/** The end of an import in a few lines. */
import type { ImportSummary } from './options.ts';
import { grouped } from '../client/text.ts';
import { isExpectedRefusal, type Outcomes, refusedInAll } from './tally.ts';

function line(what: string, counts: Outcomes): string {
  const { accepted, duplicate } = counts;
  return `  ${what.padEnd(13)}${grouped(accepted)} accepted, ${grouped(duplicate)} duplicate, ${grouped(refusedInAll(counts))} refused`;
}

function reasons(counts: Outcomes, wanted: (reason: string) => boolean): string[] {
  return [...counts.refused]
    .filter(([reason]) => wanted(reason))
    .toSorted(([, a], [, b]) => b - a)
    .map(([reason, times]) => `    ${reason.padEnd(28)}${grouped(times).padStart(9)}`);
}

export function summaryLines(summary: ImportSummary, report: string | undefined): readonly string[] {
  const { tally, rows, seconds, orphanLines, orphanUnits } = summary;
  const { documents, withdrawals, settlements, releases } = tally;
  const rate = grouped(Math.round(rows / Math.max(seconds, 0.001)));
  const lines = [
    `Imported ${grouped(rows)} rows in ${seconds.toFixed(1)} s (${rate} rows/s)`,
    line('documents', documents),
    ...reasons(documents, () => true),
    ...(tally.rowsRefused > 0 ? [`    rows of refused documents: ${grouped(tally.rowsRefused)}`] : []),
    ...tally.examples.map((example) => `    ${example}`),
    line('withdrawals', withdrawals),
    ...reasons(withdrawals, isExpectedRefusal).map((text) => `${text}  (expected)`),
    ...reasons(withdrawals, (reason) => !isExpectedRefusal(reason)),
    line('settlements', settlements),
    ...reasons(settlements, () => true),
    line('releases', releases),
    ...reasons(releases, () => true),
    `  orphaned     ${grouped(orphanLines)} return lines (${grouped(orphanUnits)} units) without a purchase to match`,
  ];
  return report === undefined
    ? lines
    : [...lines, `  report       ${report}/{balances,days,hours,stock}.csv`];
}
