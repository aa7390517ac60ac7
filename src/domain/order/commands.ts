import type { StockAdjustmentLine } from '../../gen/tallyback/events/v1/order.ts';

/** A line as a source reports it. */
export interface ReportedLine {
  readonly lineNo: number;
  readonly sku: string;
  readonly category: string;
  readonly quantity: bigint;
  /** Decimal text in major units, up to six decimals, not negative. */
  readonly unitPrice: string;
  /** Undefined: when the order was placed (or the return made). */
  readonly orderedAt: Date | undefined;
  readonly service: boolean;
}

interface Document {
  readonly source: string;
  readonly externalId: string;
  /** Business time: when it happened, not when we heard of it. */
  readonly at: Date;
}

interface Sale extends Document {
  readonly merchant: string;
  /** Empty: nobody earns. */
  readonly member: string;
  readonly currency: string;
}

/**
 * Reports about one order (or other document) of one source. `track` carries the whole target state: reported
 * again with a higher source version it amends; an equal or lower one changes nothing. Status reports have a
 * version register of their own, likewise. So any order of arrival, with repeats, ends in the same state.
 */
export type OrderCommand =
  | (Sale & {
      readonly kind: 'track';
      readonly sourceVersion: bigint;
      readonly lines: readonly ReportedLine[];
    })
  | (Document & {
      readonly kind: 'return-lines';
      readonly returnId: string;
      readonly lines: readonly { readonly lineNo: number; readonly quantity: bigint }[];
    })
  | (Document & { readonly kind: 'confirm' | 'restore'; readonly sourceVersion: bigint })
  | (Document & { readonly kind: 'decline'; readonly sourceVersion: bigint; readonly reason: string })
  | (Document & { readonly kind: 'settle'; readonly sourceVersion: bigint; readonly statementId: string })
  | (Sale & { readonly kind: 'report-return'; readonly lines: readonly ReportedLine[] })
  | (Document & {
      readonly kind: 'report-stock-adjustment';
      readonly merchant: string;
      readonly lines: readonly StockAdjustmentLine[];
    });
