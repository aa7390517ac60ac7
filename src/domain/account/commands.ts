import type { RebateCause, RebateLine } from '../../gen/tallyback/events/v1/account.ts';
import type { OrderStatus } from '../../gen/tallyback/events/v1/order.ts';
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
  /**
   * Brings one entry to its target: new lines accrue, known ones go up or down. A line in both `changed` (with
   * quantity 0) and `added` was replaced by another purchase: it is reversed and accrued anew.
   */
  | (OfAccount & {
      readonly kind: 'retarget-entry';
      readonly entryId: string;
      readonly merchant: string;
      readonly cause: RebateCause;
      /** Evaluated lines, taken if the entry does not have the line, or no longer. */
      readonly added: readonly RebateLine[];
      /** A line that an amendment took to 0 is gone: it comes back only if it is also in `added`. */
      readonly changed: readonly LineTarget[];
      /** Both count for an entry that is new; one that is known keeps its own. */
      readonly releaseOn: ReleaseOn;
      readonly releasedBySource: boolean;
    })
  /**
   * The source confirmed or settled the order (`status`): the entry's release condition holds from now on, or
   * no longer, and a declined entry is restored.
   */
  | (OfAccount & {
      readonly kind: 'confirm-entry';
      readonly entryId: string;
      readonly status: typeof OrderStatus.CONFIRMED | typeof OrderStatus.SETTLED;
    })
  /** The source declined the order: all of the entry is reversed (its lines are kept, for a restore). */
  | (OfAccount & { readonly kind: 'decline-entry'; readonly entryId: string })
  /** A declined entry counts again; the order is as if just tracked. */
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
