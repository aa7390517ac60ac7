/** A page of a statement at a point in time: the rows of the read model, made from the log. */
import { present } from '../../domain/aggregate.ts';
import { accountStream } from '../../domain/streams.ts';
import type { PageRequest } from '../../gen/tallyback/common/v1/consistency.ts';
import { statement, type StatementRow } from '../../projections/statement/statement.ts';
import type { PointInTime } from './as-of.ts';
import type { LogReads } from './log-reads.ts';
import { pageSize } from './page.ts';
import {
  decodePageToken,
  encodePageToken,
  invalidToken,
  keyFromTexts,
  keyToTexts,
  type PageScope,
} from './page-token.ts';

export async function statementAsOf(
  reads: LogReads,
  { member, currency }: { readonly member: string; readonly currency: string },
  { through, until }: PointInTime,
  scope: PageScope,
  page: PageRequest | undefined,
  signal: AbortSignal,
): Promise<{ readonly rows: StatementRow[]; readonly nextPageToken: string }> {
  const size = pageSize(page);
  const rows: StatementRow[] = [];
  await reads.each(
    {
      stream: accountStream(member, currency),
      through,
      types: statement.handles,
      from: page?.pageToken ? revisionAfter(scope, page.pageToken) : 0,
      signal,
    },
    ({ recorded, event }) => {
      const row = present(statement.fold(undefined, { ...recorded, event }, []), 'a row of the statement');
      if (until === undefined || row.occurred_at.getTime() <= until.getTime()) rows.push(row);
      // One more than the page says that there is another.
      return rows.length <= size;
    },
  );
  const last = rows.length > size ? rows[size - 1] : undefined;
  return {
    rows: rows.slice(0, size),
    nextPageToken: last ? encodePageToken(scope, keyToTexts([member, currency, last.revision])) : '',
  };
}

/** No store gives a stream more. */
const largestRevision = 2n ** 31n - 1n;

/** Where the page of a token begins. */
function revisionAfter(scope: PageScope, token: string): number {
  const [, , revision] = keyFromTexts(statement, decodePageToken(scope, token));
  // The sum in a token guards against mistakes only: what is in it is not to be trusted.
  if (typeof revision !== 'bigint' || revision < 0n || revision >= largestRevision) throw invalidToken();
  return Number(revision) + 1;
}
