/** What people decide about an account: adjustments by two of them, and freezing. */
import { accept, refuse } from '../aggregate.ts';
import { amountOverflow, fitsInt64 } from '../money.ts';
import { credit, debit } from './balance.ts';
import { adjustmentFingerprint } from './content.ts';
import type { AccountDecision, CommandOf, Draft } from './draft.ts';

export function adjust(draft: Draft, command: CommandOf<'adjust'>): AccountDecision {
  const { adjustmentId, amountMinor, reason, requestedBy, approvedBy } = command;
  const known = draft.state.adjustments.get(adjustmentId);
  if (known !== undefined) {
    return known === adjustmentFingerprint(command)
      ? accept()
      : refuse('already-exists', 'ADJUSTMENT_ID_REUSED', `adjustment ${adjustmentId} was another one`);
  }
  if (amountMinor === 0n) return refuse('invalid', 'AMOUNT_ZERO', 'an adjustment changes the balance');
  if (!fitsInt64(amountMinor)) return amountOverflow('the amount');
  // Nobody is not a second person.
  if (requestedBy === '' || approvedBy === '' || requestedBy === approvedBy) {
    return refuse('precondition', 'SAME_PERSON', 'an adjustment takes two people');
  }
  const before = { ...draft.balance, adjusted: draft.balance.adjusted + amountMinor };
  const { balance, debtRecovered, toDebt } =
    amountMinor > 0n
      ? { ...credit(before, amountMinor), toDebt: 0n }
      : { ...debit(before, -amountMinor), debtRecovered: 0n };
  return accept({
    type: 'BalanceAdjusted',
    data: {
      ...draft.common,
      adjustmentId,
      amountMinor,
      debtRecovered,
      toDebt,
      reason,
      requestedBy,
      approvedBy,
      balance,
    },
  });
}

export function freeze(draft: Draft, { reason, requestedBy }: CommandOf<'freeze'>): AccountDecision {
  if (draft.state.frozen) return accept();
  const { balance, common } = draft;
  return accept({ type: 'AccountFrozen', data: { ...common, reason, requestedBy, balance } });
}

export function unfreeze(draft: Draft, { requestedBy }: CommandOf<'unfreeze'>): AccountDecision {
  if (!draft.state.frozen) return accept();
  const { balance, common } = draft;
  return accept({ type: 'AccountUnfrozen', data: { ...common, requestedBy, balance } });
}
