import type { Aggregate } from '../aggregate.ts';
import type { AccountCommand } from './commands.ts';
import { decideAccount } from './decide.ts';
import { evolveAccount } from './evolve.ts';
import { initialAccount, type AccountEventType, type AccountState } from './state.ts';

export const accountAggregate: Aggregate<AccountState, AccountCommand, AccountEventType> = {
  category: 'account',
  snapshotVersion: 1,
  initial: initialAccount,
  evolve: evolveAccount,
  decide: decideAccount,
};

export type { AccountCommand, LineTarget } from './commands.ts';
export { postings, type LedgerAccount } from './postings.ts';
export {
  type EntryExplanation,
  EntryExplainer,
  type EntryStep,
  type ExplainedLine,
  type LineStep,
  type RebateEvent,
  rebateEventTypes,
} from './explain.ts';
export { conditionHolds, dueLines } from './release.ts';
export type { AccountEvent, AccountEventType, AccountState } from './state.ts';
