import type { RebateCause, RebateLine } from '../../gen/tallyback/events/v1/account.ts';
import type { ReleaseOn } from '../../gen/tallyback/events/v1/programme.ts';

interface OfAccount {
  readonly member: string;
  readonly currency: string;
  /** Business time: entries due by then are released before the decision. */
  readonly at: Date;
}

/** What a line of an entry should now be; the account knows its rule and works out the rebate. */
export interface LineTarget {
  readonly lineNo: number;
  /** Units that count now; 0 when the line is gone or all of it came back. */
  readonly quantity: bigint;
  readonly unitPrice: string;
}

/** A line of a return that names no order. Lines that no rule covers are not sent. */
export interface UnmatchedReturnLine {
  readonly lineNo: number;
  readonly sku: string;
  readonly quantity: bigint;
  readonly unitPrice: string;
}

export type AccountCommand =
  /** Brings one entry to its target: new lines accrue, known ones go up or down. */
  | (OfAccount & {
      readonly kind: 'retarget-entry';
      readonly entryId: string;
      readonly merchant: string;
      readonly cause: RebateCause;
      /** Evaluated lines, taken if the entry does not have the line yet. */
      readonly added: readonly RebateLine[];
      readonly changed: readonly LineTarget[];
      readonly releaseOn: ReleaseOn;
      readonly releasedBySource: boolean;
    })
  /** The source fulfilled the entry's release condition. */
  | (OfAccount & { readonly kind: 'confirm-entry'; readonly entryId: string })
  /** The source declined the order: all of the entry is reversed (its lines are kept, for a restore). */
  | (OfAccount & { readonly kind: 'decline-entry'; readonly entryId: string })
  | (OfAccount & { readonly kind: 'restore-entry'; readonly entryId: string })
  | (OfAccount & {
      readonly kind: 'take-return';
      readonly returnId: string;
      readonly merchant: string;
      readonly lines: readonly UnmatchedReturnLine[];
    })
  | (OfAccount & { readonly kind: 'release-due' })
  | (OfAccount & {
      readonly kind: 'request-withdrawal';
      readonly withdrawalId: string;
      /** Undefined: all that is available. */
      readonly amountMinor: bigint | undefined;
      /** Refused if less than this would be withdrawn. */
      readonly minimumMinor: bigint;
    })
  | (OfAccount & { readonly kind: 'settle-withdrawal'; readonly withdrawalId: string })
  | (OfAccount & {
      readonly kind: 'fail-withdrawal' | 'return-withdrawal';
      readonly withdrawalId: string;
      readonly reason: string;
    })
  | (OfAccount & {
      readonly kind: 'adjust';
      readonly adjustmentId: string;
      readonly amountMinor: bigint;
      readonly reason: string;
      readonly requestedBy: string;
      readonly approvedBy: string;
    })
  | (OfAccount & { readonly kind: 'freeze'; readonly reason: string; readonly requestedBy: string })
  | (OfAccount & { readonly kind: 'unfreeze'; readonly requestedBy: string });
