/** Stock of every SKU at every merchant: the level the item itself stated, and sums of what moved it. */
import { present } from '../../domain/aggregate.ts';
import type { DomainEvent } from '../../domain/events.ts';
import { itemStream } from '../../domain/streams.ts';
import { defineReadModel, type RowOf } from '../engine/read-model.ts';

const columns = {
  merchant: 'text',
  sku: 'text',
  on_hand: 'bigint',
  reserved: 'bigint',
  // Sums over the item's whole life.
  received: 'bigint',
  sold: 'bigint',
  taken_back: 'bigint',
  /** Signed. */
  adjusted: 'bigint',
  committed: 'bigint',
  allow_negative: 'boolean',
  changed_at: 'timestamptz',
  revision: 'bigint',
} as const;

export type StockRow = RowOf<typeof columns>;

const handles = [
  'ItemDefined',
  'StockReceived',
  'StockReserved',
  'ReservationCommitted',
  'ReservationReleased',
  'StockSold',
  'StockTakenBack',
  'StockAdjusted',
] as const;

type Sums = Pick<StockRow, 'received' | 'sold' | 'taken_back' | 'adjusted' | 'committed' | 'allow_negative'>;

const nothing: Sums = {
  received: 0n,
  sold: 0n,
  taken_back: 0n,
  adjusted: 0n,
  committed: 0n,
  // Until somebody defines it otherwise: reported sales come without opening stock.
  allow_negative: true,
};

export const stock = defineReadModel({
  name: 'stock',
  version: 1,
  table: { columns, key: ['merchant', 'sku'] },
  handles,
  streamOf: ([merchant, sku]) => itemStream(String(merchant), String(sku)),
  partitionBy: 'stream',
  keys({ event: { data } }) {
    const level = present(data.level, 'level');
    return [[level.merchant, level.sku]];
  },
  fold(row, { event, revision }): StockRow {
    const level = present(event.data.level, 'level');
    const { received, sold, taken_back, adjusted, committed, allow_negative } = summed(row ?? nothing, event);
    return {
      merchant: level.merchant,
      sku: level.sku,
      on_hand: level.onHand,
      reserved: level.reserved,
      received,
      sold,
      taken_back,
      adjusted,
      committed,
      allow_negative,
      changed_at: present(event.data.occurredAt, 'occurredAt'),
      revision: BigInt(revision),
    };
  },
});

function summed(sums: Sums, { type, data }: DomainEvent<(typeof handles)[number]>): Sums {
  switch (type) {
    case 'ItemDefined':
      return { ...sums, allow_negative: data.allowNegative };
    case 'StockReceived':
      return { ...sums, received: sums.received + data.quantity };
    case 'ReservationCommitted':
      return { ...sums, committed: sums.committed + data.quantity };
    case 'StockSold':
      return { ...sums, sold: sums.sold + data.quantity };
    case 'StockTakenBack':
      return { ...sums, taken_back: sums.taken_back + data.quantity };
    case 'StockAdjusted':
      return { ...sums, adjusted: sums.adjusted + data.delta };
    case 'StockReserved':
    case 'ReservationReleased':
      return sums;
  }
}
