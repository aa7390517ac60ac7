/** A decision under way: the account as it is once what is due at the decision's business time is released. */
import type { Decision } from '../aggregate.ts';
import type { AccountBalance, ReleasedEntry } from '../../gen/tallyback/events/v1/account.ts';
import { release } from './balance.ts';
import type { AccountCommand } from './commands.ts';
import { dueLines } from './release.ts';
import type { AccountEvent, AccountEventType, AccountLine, AccountState } from './state.ts';

export type AccountDecision = Decision<AccountEventType>;
export type CommandOf<K extends AccountCommand['kind']> = Extract<AccountCommand, { readonly kind: K }>;

export interface Draft {
  /** Before the releases: ask `isReleased` and `balance` of the draft instead. */
  readonly state: AccountState;
  readonly balance: AccountBalance;
  readonly due: ReadonlySet<AccountLine>;
  /** RebateReleased, if anything is due. */
  readonly releases: readonly AccountEvent[];
  /** What every event of the decision has in common. */
  readonly common: { readonly member: string; readonly currency: string; readonly occurredAt: Date };
}

export function openDraft(state: AccountState, { member, currency, at }: AccountCommand): Draft {
  const common = { member, currency, occurredAt: at };
  const due = dueLines(state, at);
  if (due.length === 0) return { state, balance: state.balance, due: NOTHING_DUE, releases: [], common };
  const amountMinor = due.reduce((sum, line) => sum + line.rebate, 0n);
  const { balance, debtRecovered } = release(state.balance, amountMinor);
  const data = { ...common, entries: byEntry(due), amountMinor, debtRecovered, balance };
  return { state, balance, due: new Set(due), releases: [{ type: 'RebateReleased', data }], common };
}

const NOTHING_DUE: ReadonlySet<AccountLine> = new Set();

export const isReleased = (draft: Draft, line: AccountLine): boolean => line.released || draft.due.has(line);

/** Lines with a rebate of 0 are marked too, so that a later increase finds them released. */
function byEntry(due: readonly AccountLine[]): ReleasedEntry[] {
  const entries: ReleasedEntry[] = [];
  for (const line of due) {
    let entry = entries.at(-1);
    if (entry?.entryId !== line.entry.entryId) {
      entry = { entryId: line.entry.entryId, lineNos: [], amountMinor: 0n };
      entries.push(entry);
    }
    entry.lineNos.push(line.lineNo);
    entry.amountMinor += line.rebate;
  }
  return entries;
}
