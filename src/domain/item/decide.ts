import { accept, refuse, type Decision } from '../aggregate.ts';
import { amountOverflow, fitsInt64 } from '../money.ts';
import type { StockLevel } from '../../gen/tallyback/events/v1/item.ts';
import type { ItemCommand } from './commands.ts';
import type { ItemEventType, ItemState } from './state.ts';

type ItemDecision = Decision<ItemEventType>;
type Of<K extends ItemCommand['kind']> = Extract<ItemCommand, { readonly kind: K }>;

export function decideItem(state: ItemState, command: ItemCommand): ItemDecision {
  switch (command.kind) {
    case 'define':
      return define(state, command);
    case 'receive':
      return receive(state, command);
    case 'sell':
    case 'take-back':
      return moveForOrder(state, command);
    case 'adjust':
      return adjust(state, command);
    case 'reserve':
      return reserve(state, command);
    case 'commit':
    case 'release':
      return endReservation(state, command);
  }
}

function define(state: ItemState, command: Of<'define'>): ItemDecision {
  const { allowNegative } = command;
  if (state.defined && state.allowNegative === allowNegative) return accept();
  if (!allowNegative && isShort(state.onHand, state.reserved)) {
    return refuse('precondition', 'INSUFFICIENT_STOCK', 'bring the stock up first: it is short already');
  }
  return accept({
    type: 'ItemDefined',
    data: { level: levelAfter(state, command, 0n), occurredAt: command.at, allowNegative },
  });
}

function receive(state: ItemState, command: Of<'receive'>): ItemDecision {
  const { quantity, reference, at } = command;
  const refused = checkUnits(quantity) ?? checkChange(state, quantity);
  if (refused !== undefined) return refused;
  return accept({
    type: 'StockReceived',
    data: { level: levelAfter(state, command, quantity), occurredAt: at, quantity, reference },
  });
}

function moveForOrder(state: ItemState, command: Of<'sell' | 'take-back'>): ItemDecision {
  const { quantity, orderId, at } = command;
  const delta = command.kind === 'sell' ? -quantity : quantity;
  const invalid = checkUnits(quantity);
  if (invalid !== undefined) return invalid;
  // Reported sales are facts, whatever the item allows: one refused for shortage would be lost, and its return
  // would make stock out of nothing.
  if (!fitsInt64(state.onHand + delta)) return amountOverflow('the stock');
  const data = { level: levelAfter(state, command, delta), occurredAt: at, quantity, orderId };
  return command.kind === 'sell'
    ? accept({ type: 'StockSold', data })
    : accept({ type: 'StockTakenBack', data });
}

function adjust(state: ItemState, command: Of<'adjust'>): ItemDecision {
  const { delta, reason, reference, at } = command;
  if (delta === 0n) return refuse('invalid', 'DELTA_ZERO', 'an adjustment changes the stock');
  const refused = checkChange(state, delta);
  if (refused !== undefined) return refused;
  return accept({
    type: 'StockAdjusted',
    data: { level: levelAfter(state, command, delta), occurredAt: at, delta, reason, reference },
  });
}

function reserve(state: ItemState, command: Of<'reserve'>): ItemDecision {
  const { reservationId, quantity, at } = command;
  const invalid = checkUnits(quantity);
  if (invalid !== undefined) return invalid;
  const known = state.reservations.get(reservationId);
  if (known !== undefined) {
    return known.quantity === quantity
      ? accept()
      : refuse(
          'already-exists',
          'RESERVATION_ID_REUSED',
          `reservation ${reservationId} is of ${known.quantity} units`,
        );
  }
  // Whatever the item allows: units that are not there cannot be promised.
  if (state.reserved + quantity > state.onHand) {
    return refuse(
      'precondition',
      'INSUFFICIENT_STOCK',
      `${state.onHand} on hand, ${state.reserved} of them reserved`,
    );
  }
  return accept({
    type: 'StockReserved',
    data: { level: levelAfter(state, command, 0n, quantity), occurredAt: at, reservationId, quantity },
  });
}

function endReservation(state: ItemState, command: Of<'commit' | 'release'>): ItemDecision {
  const { reservationId, at } = command;
  const reservation = state.reservations.get(reservationId);
  if (reservation === undefined) {
    return refuse('not-found', 'RESERVATION_NOT_FOUND', `there is no reservation ${reservationId}`);
  }
  const ending = command.kind === 'commit' ? 'committed' : 'released';
  if (reservation.status === ending) return accept();
  const { quantity, status } = reservation;
  if (status !== 'open') return refuse('precondition', 'RESERVATION_ENDED', `it was ${status}`);
  const delta = command.kind === 'commit' ? -quantity : 0n;
  if (!fitsInt64(state.onHand + delta)) return amountOverflow('the stock');
  const data = {
    level: levelAfter(state, command, delta, -quantity),
    occurredAt: at,
    reservationId,
    quantity,
  };
  return command.kind === 'commit'
    ? accept({ type: 'ReservationCommitted', data })
    : accept({ type: 'ReservationReleased', data });
}

const levelAfter = (
  state: ItemState,
  { merchant, sku }: ItemCommand,
  onHandDelta: bigint,
  reservedDelta = 0n,
): StockLevel => ({
  merchant,
  sku,
  onHand: state.onHand + onHandDelta,
  reserved: state.reserved + reservedDelta,
});

const isShort = (onHand: bigint, reserved: bigint): boolean => onHand < reserved;

function checkUnits(quantity: bigint): Decision<never> | undefined {
  if (quantity < 1n) return refuse('invalid', 'QUANTITY_NOT_POSITIVE', 'at least one unit');
  return fitsInt64(quantity) ? undefined : amountOverflow('the quantity');
}

/** What comes in is always welcome; what leaves may not be missing, unless the item allows it. */
function checkChange(state: ItemState, delta: bigint): Decision<never> | undefined {
  const onHand = state.onHand + delta;
  if (!fitsInt64(onHand) || !fitsInt64(delta)) return amountOverflow('the stock');
  if (delta < 0n && !state.allowNegative && isShort(onHand, state.reserved)) {
    return refuse(
      'precondition',
      'INSUFFICIENT_STOCK',
      `${state.onHand} on hand, ${state.reserved} of them reserved`,
    );
  }
  return undefined;
}
