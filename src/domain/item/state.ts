/**
 * One SKU's stock at one merchant. A reservation goes from open to committed (the units have left) or to
 * released (they stay), once.
 *
 * An item that nobody has defined allows negative stock: history and the sales a shop reports arrive without
 * an opening stock, and refusing them would lose them. `define` makes it strict: what is decided here (reserve,
 * adjust) then never takes it below what is promised. A reported sale always counts, and may show an oversell.
 */
import { BrokenInvariant, present } from '../aggregate.ts';
import type { DomainEvent } from '../events.ts';
import type { StockLevel } from '../../gen/tallyback/events/v1/item.ts';

export type ItemEventType =
  | 'ItemDefined'
  | 'StockReceived'
  | 'StockReserved'
  | 'ReservationCommitted'
  | 'ReservationReleased'
  | 'StockSold'
  | 'StockTakenBack'
  | 'StockAdjusted'
  | 'CommandRefused'
  | 'CommandUnchanged';
export type ItemEvent = DomainEvent<ItemEventType>;

interface Reservation {
  readonly quantity: bigint;
  readonly status: 'open' | 'committed' | 'released';
}

export interface ItemState {
  /** Units; negative only while the item allows it. */
  onHand: bigint;
  /** Units in open reservations. */
  reserved: bigint;
  allowNegative: boolean;
  /** Whether somebody said so: until then allowNegative is our default. */
  defined: boolean;
  readonly reservations: Map<string, Reservation>;
}

export const initialItem = (): ItemState => ({
  onHand: 0n,
  reserved: 0n,
  allowNegative: true,
  defined: false,
  reservations: new Map(),
});

export function evolveItem(state: ItemState, event: ItemEvent): ItemState {
  switch (event.type) {
    case 'ItemDefined':
      state.allowNegative = event.data.allowNegative;
      state.defined = true;
      return atLevel(state, event.data.level);
    case 'StockReserved':
      state.reservations.set(event.data.reservationId, { quantity: event.data.quantity, status: 'open' });
      return atLevel(state, event.data.level);
    case 'ReservationCommitted':
      endReservation(state, event.data.reservationId, 'committed');
      return atLevel(state, event.data.level);
    case 'ReservationReleased':
      endReservation(state, event.data.reservationId, 'released');
      return atLevel(state, event.data.level);
    case 'StockReceived':
    case 'StockSold':
    case 'StockTakenBack':
    case 'StockAdjusted':
      return atLevel(state, event.data.level);
    case 'CommandRefused':
    case 'CommandUnchanged':
      return state;
  }
}

function atLevel(state: ItemState, level: StockLevel | undefined): ItemState {
  const { onHand, reserved } = present(level, 'the level of an item event');
  state.onHand = onHand;
  state.reserved = reserved;
  return state;
}

function endReservation(state: ItemState, id: string, status: 'committed' | 'released'): void {
  const reservation = state.reservations.get(id);
  if (reservation === undefined) throw new BrokenInvariant(`reservation ${id} ended but never began`);
  state.reservations.set(id, { quantity: reservation.quantity, status });
}
