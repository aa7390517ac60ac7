import type { Aggregate } from '../aggregate.ts';
import type { OrderCommand } from './commands.ts';
import { decideOrder } from './decide.ts';
import { evolveOrder, initialOrder, type OrderEventType, type OrderState } from './state.ts';

export const orderAggregate: Aggregate<OrderState, OrderCommand, OrderEventType> = {
  category: 'order',
  snapshotVersion: 1,
  initial: initialOrder,
  evolve: evolveOrder,
  decide: decideOrder,
};

export type { OrderCommand, ReportedLine } from './commands.ts';
export { statusOf } from './state.ts';
export type { OrderEventType, OrderState } from './state.ts';
