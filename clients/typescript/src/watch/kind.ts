/** What makes one watch differ from another: where its rows and their keys are. */
import type { WatchOptions } from '../gen/tallyback/common/v1/watch.ts';
import type { ReadConsistency } from '../gen/tallyback/common/v1/consistency.ts';

export interface WatchRequest {
  consistency: ReadConsistency | undefined;
  options: WatchOptions | undefined;
}

/** `Removed`: what names a row that is to be taken away; `never` where rows only come. */
export interface RowForm<Changes, Row, Removed> {
  readonly rowsOf: (changes: Changes) => readonly Row[];
  readonly removalsOf: (changes: Changes) => readonly Removed[];
  /** As text that people can read, such as "ann/GBP". Of its parts only one may hold a slash. */
  readonly keyOf: (row: Row | Removed) => string;
  /** Rows never change: one that comes again says nothing new. */
  readonly immutable: boolean;
}
