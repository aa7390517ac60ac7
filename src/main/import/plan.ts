/**
 * What an import does, in order: the documents as the file has them and, before the first row of a month, the
 * turn of that month.
 */
import { documentOf, type DocumentStep } from './documents.ts';
import type { Run } from './invoices.ts';

export type Step =
  | { readonly kind: 'document'; readonly document: DocumentStep; readonly rows: number }
  /** 00:00 UTC on the first of a month; everything before it comes first, and is to be in effect. */
  | {
      readonly kind: 'month';
      /** "2011-01". */
      readonly month: string;
      readonly at: Date;
      /** Everybody with a record so far, in the order of first appearance. */
      readonly members: readonly string[];
    };

const monthStart = (year: number, month: number): Date => new Date(Date.UTC(year, month, 1));
const monthAfter = (at: Date): Date => monthStart(at.getUTCFullYear(), at.getUTCMonth() + 1);

/** Steps are made as they are asked for: a request lives only from here to its verdict. */
export function* plan(runs: readonly Run[]): Generator<Step, void> {
  const members = new Set<string>();
  let next: Date | undefined;
  for (const run of runs) {
    next ??= monthAfter(run.at);
    for (; run.at >= next; next = monthAfter(next))
      yield { kind: 'month', month: next.toISOString().slice(0, 7), at: next, members: [...members] };
    const document = documentOf(run);
    if (document.kind === 'record' && document.member !== '') members.add(document.member);
    yield { kind: 'document', document, rows: run.rows };
  }
}
