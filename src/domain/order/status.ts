/** The register of an order's status: the report with the highest source version wins. */
import { accept, type Decision } from '../aggregate.ts';
import type { OrderHeader } from '../../gen/tallyback/events/v1/order.ts';
import type { OrderCommand } from './commands.ts';
import type { OrderState, StatusEvent, StatusEventType } from './state.ts';

type StatusReport = Extract<
  OrderCommand,
  { readonly kind: 'confirm' | 'restore' } | { readonly kind: 'decline' } | { readonly kind: 'settle' }
>;

export function reportStatus(
  { lastStatus, tracked }: OrderState,
  report: StatusReport,
): Decision<StatusEventType> {
  if (lastStatus !== undefined && report.sourceVersion <= lastStatus.data.sourceVersion) return accept();
  return accept(statusEvent(report, tracked?.header ?? unknownOrder(report)));
}

function statusEvent(report: StatusReport, header: OrderHeader): StatusEvent {
  const data = { header, occurredAt: report.at, sourceVersion: report.sourceVersion };
  switch (report.kind) {
    case 'confirm':
      return { type: 'OrderConfirmed', data };
    case 'restore':
      return { type: 'OrderRestored', data };
    case 'decline':
      return { type: 'OrderDeclined', data: { ...data, reason: report.reason } };
    case 'settle':
      return { type: 'OrderSettled', data: { ...data, statementId: report.statementId } };
  }
}

const unknownOrder = ({ source, externalId }: StatusReport): OrderHeader => ({
  source,
  externalId,
  merchant: '',
  member: '',
  currency: '',
});
