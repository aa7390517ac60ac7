/** What the shop remembers of its own doings. */
import type { OrderLine } from '../../gen/tallyback/order/v1/order_command_service.ts';
import type { IngestRecord } from '../client/ingest-session.ts';
import type { Merchant } from './catalogue.ts';
import type { Chance } from './chance.ts';

/** An order as the shop knows it. */
export interface Placed {
  readonly merchant: Merchant;
  readonly id: string;
  readonly member: string;
  readonly at: Date;
  lines: OrderLine[];
  version: bigint;
  /** The source counts status reports separately. */
  statusVersion: bigint;
  declined: boolean;
}

export interface ShopState {
  readonly random: Chance;
  readonly merchants: readonly [Merchant, ...Merchant[]];
  /** Latest last. */
  readonly placed: Placed[];
  readonly withdrawals: { readonly member: string; readonly currency: string; readonly id: string }[];
  readonly reservations: { readonly merchant: string; readonly sku: string; readonly id: string }[];
  /** Records sent, for those that come twice. */
  readonly sent: IngestRecord[];
  requestId(): string;
  /** A new id of a document, withdrawal and the like. */
  id(prefix: string): string;
  member(): string;
  /** A product of a merchant, favourites far more often. */
  product(merchant: Merchant): Merchant['products'][number];
}
