/** What the source says of a whole entry: confirmed or settled, declined, restored. */
import { accept } from '../aggregate.ts';
import { RebateCause } from '../../gen/tallyback/events/v1/account.ts';
import { OrderStatus } from '../../gen/tallyback/events/v1/order.ts';
import type { AccountDecision, CommandOf, Draft } from './draft.ts';
import { conditionHolds } from './release.ts';
import { accruedEvent, addChange, noChanges, rebateOf, reversedEvent } from './retarget.ts';
import type { AccountEntry } from './state.ts';

export function confirmEntry(draft: Draft, { entryId, status }: CommandOf<'confirm-entry'>): AccountDecision {
  const entry = draft.state.entries.get(entryId);
  if (entry === undefined) return accept();
  if (entry.declined) return restore(draft, entry, status);
  const holds = conditionHolds(entry.releaseOn, status);
  if (holds === entry.releasedBySource) return accept();
  if (!holds) return restore(draft, entry, status);
  return accept({ type: 'RebateConfirmed', data: { ...draft.common, entryId, balance: draft.balance } });
}

export function declineEntry(draft: Draft, { entryId }: CommandOf<'decline-entry'>): AccountDecision {
  const entry = draft.state.entries.get(entryId);
  if (entry === undefined || entry.declined) return accept();
  const down = noChanges();
  for (const line of entry.lines.values()) {
    if (line.rebate > 0n) addChange(down, draft, line, line.quantity, line.unitPrice, 0n);
  }
  const of = { entryId, cause: RebateCause.DECLINED, merchant: entry.merchant };
  return accept(reversedEvent(draft, draft.balance, of, down).event);
}

export function restoreEntry(draft: Draft, { entryId }: CommandOf<'restore-entry'>): AccountDecision {
  const entry = draft.state.entries.get(entryId);
  if (entry === undefined) return accept();
  const asTracked = entry.releasedBySource === conditionHolds(entry.releaseOn, OrderStatus.TRACKED);
  return !entry.declined && asTracked ? accept() : restore(draft, entry, OrderStatus.TRACKED);
}

/**
 * The entry counts (again), in an order of this status. Of an entry that was not declined it only takes back
 * that its condition held; what has been released stays so.
 */
function restore(draft: Draft, entry: AccountEntry, status: OrderStatus): AccountDecision {
  const up = noChanges();
  for (const line of entry.declined ? entry.lines.values() : []) {
    const rebate = rebateOf(line, line.quantity, line.unitPrice, draft.common.currency);
    if (rebate > 0n) addChange(up, draft, line, line.quantity, line.unitPrice, rebate);
  }
  const { entryId, merchant, releaseOn } = entry;
  const terms = { merchant, releaseOn, releasedBySource: conditionHolds(releaseOn, status) };
  return accept(accruedEvent(draft, draft.balance, { entryId, cause: RebateCause.RESTORED }, terms, up, []));
}
