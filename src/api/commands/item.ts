/** Stock moved by hand. */
import type { AggregateCommand } from '../../application/commands.ts';
import { present } from '../../domain/aggregate.ts';
import type { ItemCommand } from '../../domain/item/commands.ts';
import {
  AdjustStockRequest,
  CommitReservationRequest,
  DefineItemRequest,
  ItemCommandServiceService as methods,
  ReceiveStockRequest,
  ReleaseReservationRequest,
  ReserveStockRequest,
} from '../../gen/tallyback/item/v1/item_command_service.ts';
import { mapping } from './mapping.ts';

interface OfItem {
  readonly merchant: string;
  readonly sku: string;
  readonly occurredAt: Date | undefined;
}

const which = (request: OfItem) => ({
  merchant: request.merchant,
  sku: request.sku,
  at: present(request.occurredAt, 'occurred_at'),
});

const item = (command: ItemCommand): AggregateCommand => ({ aggregate: 'item', command });

export const defineItem = mapping({
  method: methods.defineItem,
  type: DefineItemRequest,
  toCommand: (r: DefineItemRequest) => item({ kind: 'define', ...which(r), allowNegative: r.allowNegative }),
});

export const receiveStock = mapping({
  method: methods.receiveStock,
  type: ReceiveStockRequest,
  toCommand: (r: ReceiveStockRequest) =>
    item({ kind: 'receive', ...which(r), quantity: r.quantity, reference: r.reference }),
});

export const reserveStock = mapping({
  method: methods.reserveStock,
  type: ReserveStockRequest,
  toCommand: (r: ReserveStockRequest) =>
    item({ kind: 'reserve', ...which(r), reservationId: r.reservationId, quantity: r.quantity }),
});

export const commitReservation = mapping({
  method: methods.commitReservation,
  type: CommitReservationRequest,
  toCommand: (r: CommitReservationRequest) =>
    item({ kind: 'commit', ...which(r), reservationId: r.reservationId }),
});

export const releaseReservation = mapping({
  method: methods.releaseReservation,
  type: ReleaseReservationRequest,
  toCommand: (r: ReleaseReservationRequest) =>
    item({ kind: 'release', ...which(r), reservationId: r.reservationId }),
});

export const adjustStock = mapping({
  method: methods.adjustStock,
  type: AdjustStockRequest,
  toCommand: (r: AdjustStockRequest) =>
    item({ kind: 'adjust', ...which(r), delta: r.delta, reason: r.reason, reference: r.reference }),
});
