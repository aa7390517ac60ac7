/** The command services: every method is one mapping, carried out by the bus. */
import type { CommandOutcome } from '../../application/commands.ts';
import type { PositionTokens } from '../../application/position-token.ts';
import { AccountCommandServiceService } from '../../gen/tallyback/account/v1/account_command_service.ts';
import type { CommandReceipt } from '../../gen/tallyback/common/v1/command.ts';
import { ItemCommandServiceService } from '../../gen/tallyback/item/v1/item_command_service.ts';
import { OrderCommandServiceService } from '../../gen/tallyback/order/v1/order_command_service.ts';
import { ProgrammeCommandServiceService } from '../../gen/tallyback/programme/v1/programme_command_service.ts';
import type { ApiContext } from '../context.ts';
import { refused, requestIdReused } from '../errors.ts';
import { bindService, type BoundMethod, type BoundService } from '../handler.ts';
import * as account from './account.ts';
import * as item from './item.ts';
import { type CommandMapping, commandRequest, type HasRequestId } from './mapping.ts';
import * as order from './order.ts';
import * as programme from './programme.ts';

type Accepted = Extract<CommandOutcome, { kind: 'accepted' }>;

export const receiptOf = (outcome: Accepted, tokens: PositionTokens): CommandReceipt => ({
  positionToken: tokens.encode(outcome.position),
  revision: BigInt(outcome.revision),
  duplicate: outcome.duplicate,
  unchanged: outcome.unchanged,
});

export function commandServices(context: ApiContext): readonly BoundService[] {
  const { bus, clock, head, rpc, tokens } = context;

  const command = <Req extends HasRequestId>(mapping: CommandMapping<Req>): BoundMethod =>
    rpc.unary(mapping.method, async (request, call) => {
      const asked = commandRequest(mapping, request, clock);
      const outcome = await bus.execute(asked);
      switch (outcome.kind) {
        case 'accepted': {
          const receipt = receiptOf(outcome, tokens);
          call.setPosition(receipt.positionToken);
          return { receipt };
        }
        case 'refused':
          throw refused(outcome.refusal, asked.aggregate, tokens.encode(outcome.position));
        case 'request-id-reused':
          // What it was used for is in the log, wherever; the store has just answered.
          throw requestIdReused(tokens.encode(await head()));
      }
    });

  return [
    bindService(OrderCommandServiceService, {
      trackOrder: command(order.trackOrder),
      returnLines: command(order.returnLines),
      confirmOrder: command(order.confirmOrder),
      declineOrder: command(order.declineOrder),
      restoreOrder: command(order.restoreOrder),
      settleOrder: command(order.settleOrder),
      reportReturn: command(order.reportReturn),
      reportStockAdjustment: command(order.reportStockAdjustment),
    }),
    bindService(AccountCommandServiceService, {
      requestWithdrawal: command(account.requestWithdrawal),
      settleWithdrawal: command(account.settleWithdrawal),
      failWithdrawal: command(account.failWithdrawal),
      returnWithdrawal: command(account.returnWithdrawal),
      releaseDue: command(account.releaseDue),
      adjustBalance: command(account.adjustBalance),
      freezeAccount: command(account.freezeAccount),
      unfreezeAccount: command(account.unfreezeAccount),
    }),
    bindService(ItemCommandServiceService, {
      defineItem: command(item.defineItem),
      receiveStock: command(item.receiveStock),
      reserveStock: command(item.reserveStock),
      commitReservation: command(item.commitReservation),
      releaseReservation: command(item.releaseReservation),
      adjustStock: command(item.adjustStock),
    }),
    bindService(ProgrammeCommandServiceService, {
      publishRuleSet: command(programme.publishRuleSet),
      retireRuleSet: command(programme.retireRuleSet),
    }),
  ];
}
