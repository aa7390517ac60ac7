/** Payouts and corrections of accounts. */
import type { AggregateCommand } from '../../application/commands.ts';
import type { AccountCommand } from '../../domain/account/commands.ts';
import { present } from '../../domain/aggregate.ts';
import {
  AccountCommandServiceService as methods,
  AdjustBalanceRequest,
  FailWithdrawalRequest,
  FreezeAccountRequest,
  ReleaseDueRequest,
  RequestWithdrawalRequest,
  ReturnWithdrawalRequest,
  SettleWithdrawalRequest,
  UnfreezeAccountRequest,
} from '../../gen/tallyback/account/v1/account_command_service.ts';
import { mapping } from './mapping.ts';

interface OfAccount {
  readonly member: string;
  readonly currency: string;
  readonly occurredAt: Date | undefined;
}

const owner = (request: OfAccount) => ({
  member: request.member,
  currency: request.currency,
  at: present(request.occurredAt, 'occurred_at'),
});

const account = (command: AccountCommand): AggregateCommand => ({ aggregate: 'account', command });

export const requestWithdrawal = mapping({
  method: methods.requestWithdrawal,
  type: RequestWithdrawalRequest,
  toCommand: (r: RequestWithdrawalRequest) =>
    account({
      kind: 'request-withdrawal',
      ...owner(r),
      withdrawalId: r.withdrawalId,
      amountMinor: r.amountMinor === 0n ? undefined : r.amountMinor,
      minimumMinor: r.minimumMinor,
    }),
});

export const settleWithdrawal = mapping({
  method: methods.settleWithdrawal,
  type: SettleWithdrawalRequest,
  toCommand: (r: SettleWithdrawalRequest) =>
    account({ kind: 'settle-withdrawal', ...owner(r), withdrawalId: r.withdrawalId }),
});

export const failWithdrawal = mapping({
  method: methods.failWithdrawal,
  type: FailWithdrawalRequest,
  toCommand: (r: FailWithdrawalRequest) =>
    account({ kind: 'fail-withdrawal', ...owner(r), withdrawalId: r.withdrawalId, reason: r.reason }),
});

export const returnWithdrawal = mapping({
  method: methods.returnWithdrawal,
  type: ReturnWithdrawalRequest,
  toCommand: (r: ReturnWithdrawalRequest) =>
    account({ kind: 'return-withdrawal', ...owner(r), withdrawalId: r.withdrawalId, reason: r.reason }),
});

export const releaseDue = mapping({
  method: methods.releaseDue,
  type: ReleaseDueRequest,
  toCommand: (r: ReleaseDueRequest) => account({ kind: 'release-due', ...owner(r) }),
});

export const adjustBalance = mapping({
  method: methods.adjustBalance,
  type: AdjustBalanceRequest,
  toCommand: (r: AdjustBalanceRequest) =>
    account({
      kind: 'adjust',
      ...owner(r),
      adjustmentId: r.adjustmentId,
      amountMinor: r.amountMinor,
      reason: r.reason,
      requestedBy: r.requestedBy,
      approvedBy: r.approvedBy,
    }),
});

export const freezeAccount = mapping({
  method: methods.freezeAccount,
  type: FreezeAccountRequest,
  toCommand: (r: FreezeAccountRequest) =>
    account({ kind: 'freeze', ...owner(r), reason: r.reason, requestedBy: r.requestedBy }),
});

export const unfreezeAccount = mapping({
  method: methods.unfreezeAccount,
  type: UnfreezeAccountRequest,
  toCommand: (r: UnfreezeAccountRequest) =>
    account({ kind: 'unfreeze', ...owner(r), requestedBy: r.requestedBy }),
});
