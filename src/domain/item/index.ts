import type { Aggregate } from '../aggregate.ts';
import type { ItemCommand } from './commands.ts';
import { decideItem } from './decide.ts';
import { evolveItem, initialItem, type ItemEventType, type ItemState } from './state.ts';

export const itemAggregate: Aggregate<ItemState, ItemCommand, ItemEventType> = {
  category: 'item',
  snapshotVersion: 1,
  initial: initialItem,
  evolve: evolveItem,
  decide: decideItem,
};

export type { ItemCommand } from './commands.ts';
export type { ItemEvent, ItemEventType, ItemState } from './state.ts';
