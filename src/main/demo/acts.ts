/** One thing that the demo does: a record for the Ingest stream, or a unary call. */
import type { IngestRecord } from '../client/ingest-session.ts';
import type { Connection } from '../client/connect.ts';
import { unary } from '../client/unary.ts';
import type {
  AdjustBalanceRequest,
  FreezeAccountRequest,
  UnfreezeAccountRequest,
} from '../../gen/tallyback/account/v1/account_command_service.ts';
import type {
  AdjustStockRequest,
  CommitReservationRequest,
  ReleaseReservationRequest,
  ReserveStockRequest,
} from '../../gen/tallyback/item/v1/item_command_service.ts';
import type { CommandReceipt } from '../../gen/tallyback/common/v1/command.ts';
import type { PublishRuleSetRequest } from '../../gen/tallyback/programme/v1/programme_command_service.ts';

export type UnaryCommand =
  | { readonly $case: 'adjustBalance'; readonly value: AdjustBalanceRequest }
  | { readonly $case: 'freezeAccount'; readonly value: FreezeAccountRequest }
  | { readonly $case: 'unfreezeAccount'; readonly value: UnfreezeAccountRequest }
  | { readonly $case: 'adjustStock'; readonly value: AdjustStockRequest }
  | { readonly $case: 'reserveStock'; readonly value: ReserveStockRequest }
  | { readonly $case: 'commitReservation'; readonly value: CommitReservationRequest }
  | { readonly $case: 'releaseReservation'; readonly value: ReleaseReservationRequest }
  | { readonly $case: 'publishRuleSet'; readonly value: PublishRuleSetRequest };

export type Act =
  | { readonly via: 'ingest'; readonly record: IngestRecord }
  | { readonly via: 'unary'; readonly command: UnaryCommand };

export async function callUnary(
  { accountCommands, itemCommands, programmeCommands }: Connection,
  command: UnaryCommand,
  signal: AbortSignal,
): Promise<CommandReceipt | undefined> {
  const options = { signal, deadlineMs: 20_000 };
  switch (command.$case) {
    case 'adjustBalance':
      return (await unary(accountCommands, accountCommands.adjustBalance, command.value, options)).receipt;
    case 'freezeAccount':
      return (await unary(accountCommands, accountCommands.freezeAccount, command.value, options)).receipt;
    case 'unfreezeAccount':
      return (await unary(accountCommands, accountCommands.unfreezeAccount, command.value, options)).receipt;
    case 'adjustStock':
      return (await unary(itemCommands, itemCommands.adjustStock, command.value, options)).receipt;
    case 'reserveStock':
      return (await unary(itemCommands, itemCommands.reserveStock, command.value, options)).receipt;
    case 'commitReservation':
      return (await unary(itemCommands, itemCommands.commitReservation, command.value, options)).receipt;
    case 'releaseReservation':
      return (await unary(itemCommands, itemCommands.releaseReservation, command.value, options)).receipt;
    case 'publishRuleSet':
      return (await unary(programmeCommands, programmeCommands.publishRuleSet, command.value, options))
        .receipt;
  }
}
