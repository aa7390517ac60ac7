/** Stock from the quantities in item events; the level that they carry is not looked at. */
import type { DomainEvent } from '../../domain/events.ts';
import { keyOf, rowOf, type Table } from './table.ts';

interface Item {
  onHand: bigint;
  reserved: bigint;
  received: bigint;
  sold: bigint;
  takenBack: bigint;
  adjusted: bigint;
  committed: bigint;
  changedAt: Date | undefined;
  revision: number;
}

export function itemRecomputation() {
  const items = new Map<string, Item>();

  return {
    add(event: DomainEvent, revision: number): void {
      const { data } = event;
      if (!('level' in data) || !data.level) return;
      const key = keyOf(data.level.merchant, data.level.sku);
      let item = items.get(key);
      if (!item) {
        const none = { onHand: 0n, reserved: 0n, received: 0n, sold: 0n, takenBack: 0n, adjusted: 0n };
        item = { ...none, committed: 0n, changedAt: undefined, revision };
        items.set(key, item);
      }
      item.changedAt = data.occurredAt;
      item.revision = revision;
      apply(item, event);
    },
    table(): Table {
      return new Map([...items].map(([key, item]) => [key, rowOf({ ...item })]));
    },
  };
}

function apply(item: Item, { type, data }: DomainEvent): void {
  switch (type) {
    case 'StockReceived':
      item.received += data.quantity;
      item.onHand += data.quantity;
      return;
    case 'StockSold':
      item.sold += data.quantity;
      item.onHand -= data.quantity;
      return;
    case 'StockTakenBack':
      item.takenBack += data.quantity;
      item.onHand += data.quantity;
      return;
    case 'StockAdjusted':
      item.adjusted += data.delta;
      item.onHand += data.delta;
      return;
    case 'StockReserved':
      item.reserved += data.quantity;
      return;
    case 'ReservationReleased':
      item.reserved -= data.quantity;
      return;
    case 'ReservationCommitted':
      item.reserved -= data.quantity;
      item.committed += data.quantity;
      item.onHand -= data.quantity;
      return;
    default:
  }
}
