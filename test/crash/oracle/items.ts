/** Stock, from the quantities that move; and the rows of rule sets. */
import type { StoredEvent } from '../log.ts';
import { type Expected, keyText, type Row } from './rows.ts';

interface Stock {
  on_hand: bigint;
  received: bigint;
  sold: bigint;
  taken_back: bigint;
  adjusted: bigint;
}

export interface Items {
  readonly stock: Expected;
  readonly programme: Expected;
  readonly violations: readonly string[];
}

export function recomputeItems(log: readonly StoredEvent[]): Items {
  const items = new Map<string, Stock>();
  const rows = new Map<string, Row>();
  const ruleSets = new Map<string, Row>();
  const violations: string[] = [];
  for (const event of log) {
    if (event.type === 'RuleSetPublished')
      ruleSets.set(keyText(event.data.merchant, event.data.version), { hold_days: event.data.holdDays });
    if (!('level' in event.data)) continue;
    const { level, occurredAt } = event.data;
    const key = keyText(level?.merchant, level?.sku);
    const item = items.get(key) ?? { on_hand: 0n, received: 0n, sold: 0n, taken_back: 0n, adjusted: 0n };
    items.set(key, item);
    move(item, event);
    if (item.on_hand !== level?.onHand)
      violations.push(
        `item ${key} at revision ${event.revision}: says ${level?.onHand}, not ${item.on_hand}`,
      );
    const never = { reserved: 0n, committed: 0n, allow_negative: true };
    rows.set(key, { ...item, ...never, changed_at: occurredAt, revision: BigInt(event.revision) });
  }
  return {
    stock: { key: ['merchant', 'sku'], rows },
    programme: { key: ['merchant', 'version'], rows: ruleSets },
    violations,
  };
}

function move(item: Stock, { type, data }: StoredEvent): void {
  switch (type) {
    case 'StockReceived':
      item.received += data.quantity;
      item.on_hand += data.quantity;
      return;
    case 'StockSold':
      item.sold += data.quantity;
      item.on_hand -= data.quantity;
      return;
    case 'StockTakenBack':
      item.taken_back += data.quantity;
      item.on_hand += data.quantity;
      return;
    case 'StockAdjusted':
      item.adjusted += data.delta;
      item.on_hand += data.delta;
      return;
    default:
  }
}
