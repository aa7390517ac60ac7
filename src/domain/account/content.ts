/** What makes two reports under one id the same. Times are left out: a repeat may be stamped anew. */
import { fingerprint } from '../fingerprint.ts';
import { priceMicros } from '../money.ts';
import type { UnmatchedReturnLine } from './commands.ts';

export const returnFingerprint = (merchant: string, lines: readonly UnmatchedReturnLine[]): string =>
  fingerprint(
    merchant,
    ...lines.flatMap(({ lineNo, sku, quantity, unitPrice }) => [
      lineNo,
      sku,
      quantity,
      priceMicros(unitPrice),
    ]),
  );

export const adjustmentFingerprint = (adjustment: {
  readonly amountMinor: bigint;
  readonly reason: string;
  readonly requestedBy: string;
  readonly approvedBy: string;
}): string =>
  fingerprint(adjustment.amountMinor, adjustment.reason, adjustment.requestedBy, adjustment.approvedBy);
