interface OfItem {
  readonly merchant: string;
  readonly sku: string;
  /** Business time. */
  readonly at: Date;
}

export type ItemCommand =
  | (OfItem & { readonly kind: 'define'; readonly allowNegative: boolean })
  | (OfItem & { readonly kind: 'receive'; readonly quantity: bigint; readonly reference: string })
  | (OfItem & { readonly kind: 'reserve'; readonly reservationId: string; readonly quantity: bigint })
  | (OfItem & { readonly kind: 'commit' | 'release'; readonly reservationId: string })
  | (OfItem & { readonly kind: 'sell' | 'take-back'; readonly quantity: bigint; readonly orderId: string })
  | (OfItem & {
      readonly kind: 'adjust';
      readonly delta: bigint;
      readonly reason: string;
      readonly reference: string;
    });
