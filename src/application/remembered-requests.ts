/** What became of a stream's requests, and the same in columns: for a snapshot, a third of the time and of the bytes. */
import type { Refusal } from '../domain/aggregate.ts';
import type { Position } from '../eventstore/port.ts';

/** What became of a request. */
export interface StoredOutcome {
  readonly contentHash: string | undefined;
  readonly refusal: Refusal | undefined;
  readonly revision: number;
  readonly position: Position;
}

/** The n-th of each belongs to the n-th request. */
export interface RequestColumns {
  readonly ids: readonly string[];
  readonly contentHashes: readonly (string | undefined)[];
  readonly refusals: readonly (Refusal | undefined)[];
  readonly revisions: readonly number[];
  readonly commits: readonly bigint[];
  readonly prepares: readonly bigint[];
}

export function toColumns(requests: ReadonlyMap<string, StoredOutcome>): RequestColumns {
  const outcomes = [...requests.values()];
  return {
    ids: [...requests.keys()],
    contentHashes: outcomes.map(({ contentHash }) => contentHash),
    refusals: outcomes.map(({ refusal }) => refusal),
    revisions: outcomes.map(({ revision }) => revision),
    commits: outcomes.map(({ position }) => position.commit),
    prepares: outcomes.map(({ position }) => position.prepare),
  };
}

export function fromColumns(columns: RequestColumns): Map<string, StoredOutcome> {
  const { contentHashes, refusals, revisions, commits, prepares } = columns;
  return new Map(
    columns.ids.map((id, n) => {
      const [revision = NaN, commit = 0n, prepare = 0n] = [revisions[n], commits[n], prepares[n]];
      const [contentHash, refusal] = [contentHashes[n], refusals[n]];
      return [id, { contentHash, refusal, revision, position: { commit, prepare } }];
    }),
  );
}
