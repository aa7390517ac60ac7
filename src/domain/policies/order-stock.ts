/**
 * What happens to an order, told to the stock of its items: what was bought leaves, what came back returns.
 * Services have no stock. A declined order has been shipped all the same: declining moves nothing.
 */
import { present } from '../aggregate.ts';
import type { DomainEvent } from '../events.ts';
import type { ItemCommand } from '../item/index.ts';
import { itemStream, orderId } from '../streams.ts';
import type { OrderHeader, OrderLine } from '../../gen/tallyback/events/v1/order.ts';
import type { Policy, PolicyCommand } from './policy.ts';

type OrderStockEvent =
  'OrderTracked' | 'OrderAmended' | 'LinesReturned' | 'ReturnReported' | 'StockAdjustmentReported';

export const orderStock: Policy<OrderStockEvent> = {
  name: 'order-stock',
  handles: ['OrderTracked', 'OrderAmended', 'LinesReturned', 'ReturnReported', 'StockAdjustmentReported'],
  programmeOf: () => undefined,
  react: (event) => {
    const header = present(event.data.header, `${event.type}.header`);
    const at = present(event.data.occurredAt, `${event.type}.occurred_at`);
    const commands =
      event.type === 'StockAdjustmentReported'
        ? adjustments(event, header, at)
        : movements(leavingOf(event), header, at);
    return commands.map((command): PolicyCommand => ({
      aggregate: 'item',
      stream: itemStream(command.merchant, command.sku),
      command,
    }));
  },
};

/** Units that leave the stock by SKU, negative when they come back; SKUs in the order in which they appear. */
type Leaving = ReadonlyMap<string, bigint>;

function leavingOf(
  event: Exclude<DomainEvent<OrderStockEvent>, { type: 'StockAdjustmentReported' }>,
): Leaving {
  const leaving = new Map<string, bigint>();
  const count = (line: OrderLine | undefined, units: bigint): void => {
    if (line === undefined || line.service) return;
    leaving.set(line.sku, (leaving.get(line.sku) ?? 0n) + units);
  };
  switch (event.type) {
    case 'OrderTracked':
      for (const line of event.data.lines) count(line, line.quantity);
      return leaving;
    case 'OrderAmended':
      for (const { before, after } of event.data.changes) {
        count(before, -(before?.quantity ?? 0n));
        count(after, after?.quantity ?? 0n);
      }
      return leaving;
    case 'LinesReturned':
      for (const { line, quantity } of event.data.lines) count(line, -quantity);
      return leaving;
    case 'ReturnReported':
      for (const line of event.data.lines) count(line, -line.quantity);
      return leaving;
  }
}

function movements(leaving: Leaving, header: OrderHeader, at: Date): ItemCommand[] {
  const { merchant } = header;
  const id = orderId(header.source, header.externalId);
  const commands: ItemCommand[] = [];
  for (const [sku, units] of leaving) {
    if (units > 0n) commands.push({ kind: 'sell', merchant, sku, at, quantity: units, orderId: id });
    if (units < 0n) commands.push({ kind: 'take-back', merchant, sku, at, quantity: -units, orderId: id });
  }
  return commands;
}

const adjustments = (
  { data }: DomainEvent<'StockAdjustmentReported'>,
  header: OrderHeader,
  at: Date,
): ItemCommand[] =>
  data.lines.map(({ sku, delta, reason }) => ({
    kind: 'adjust',
    merchant: header.merchant,
    sku,
    at,
    delta,
    reason,
    reference: orderId(header.source, header.externalId),
  }));
