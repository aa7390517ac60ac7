import { refuse, type Decision } from '../aggregate.ts';
import type { OrderCommand } from './commands.ts';
import { reportReturn, reportStockAdjustment } from './documents.ts';
import { returnLines } from './returns.ts';
import type { DocumentKind, OrderEventType, OrderState } from './state.ts';
import { reportStatus } from './status.ts';
import { track } from './track.ts';

export function decideOrder(state: OrderState, command: OrderCommand): Decision<OrderEventType> {
  if (state.kind !== undefined && state.kind !== kindOf(command)) {
    return refuse(
      'precondition',
      'DOCUMENT_KIND_MISMATCH',
      `${command.externalId} of ${command.source} is known as ${state.kind}, not ${kindOf(command)}`,
    );
  }
  switch (command.kind) {
    case 'track':
      return track(state, command);
    case 'return-lines':
      return returnLines(state, command);
    case 'confirm':
    case 'restore':
    case 'decline':
    case 'settle':
      return reportStatus(state, command);
    case 'report-return':
      return reportReturn(state, command);
    case 'report-stock-adjustment':
      return reportStockAdjustment(state, command);
  }
}

function kindOf(command: OrderCommand): DocumentKind {
  switch (command.kind) {
    case 'track':
    case 'return-lines':
    case 'confirm':
    case 'restore':
    case 'decline':
    case 'settle':
      return 'order';
    case 'report-return':
      return 'return';
    case 'report-stock-adjustment':
      return 'stock-adjustment';
  }
}
