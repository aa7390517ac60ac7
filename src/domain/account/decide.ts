import { accept, present } from '../aggregate.ts';
import { amountOverflow, fitsInt64 } from '../money.ts';
import { balanceFits } from './balance.ts';
import type { AccountCommand } from './commands.ts';
import { adjust, freeze, unfreeze } from './corrections.ts';
import { openDraft, type AccountDecision, type Draft } from './draft.ts';
import { confirmEntry, declineEntry, restoreEntry } from './entries.ts';
import { takeReturn } from './matching.ts';
import { retargetEntry } from './retarget.ts';
import type { AccountEvent, AccountState } from './state.ts';
import { requestWithdrawal, settleWithdrawal, undoWithdrawal } from './withdrawals.ts';

/**
 * What is due at the command's business time is released first, in the same append; a refused command appends
 * nothing, but is judged on the account as it would be after those releases.
 */
export function decideAccount(state: AccountState, command: AccountCommand): AccountDecision {
  const draft = openDraft(state, command);
  const decision = decideOn(draft, command);
  if (decision.kind === 'refused') return decision;
  const events = [...draft.releases, ...decision.events];
  return events.every(fits) ? accept(...events) : amountOverflow('the balance');
}

/** No event moves more than its balance shows; a line's amount is not in the balance. */
function fits(event: AccountEvent): boolean {
  if (event.type === 'CommandRefused' || event.type === 'CommandUnchanged') return true;
  const lines = event.type === 'RebateAccrued' ? event.data.lines : [];
  return (
    lines.every((line) => fitsInt64(line.amountMinor)) &&
    balanceFits(present(event.data.balance, `${event.type}.balance`))
  );
}

function decideOn(draft: Draft, command: AccountCommand): AccountDecision {
  switch (command.kind) {
    case 'retarget-entry':
      return retargetEntry(draft, command);
    case 'confirm-entry':
      return confirmEntry(draft, command);
    case 'decline-entry':
      return declineEntry(draft, command);
    case 'restore-entry':
      return restoreEntry(draft, command);
    case 'take-return':
      return takeReturn(draft, command);
    case 'release-due':
      return accept();
    case 'request-withdrawal':
      return requestWithdrawal(draft, command);
    case 'settle-withdrawal':
      return settleWithdrawal(draft, command);
    case 'fail-withdrawal':
    case 'return-withdrawal':
      return undoWithdrawal(draft, command);
    case 'adjust':
      return adjust(draft, command);
    case 'freeze':
      return freeze(draft, command);
    case 'unfreeze':
      return unfreeze(draft, command);
  }
}
