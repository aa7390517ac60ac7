/** What a record is about, and the command it asks for. */
import { streamOf } from '../../application/aggregates.ts';
import type { CommandRequest } from '../../application/commands.ts';
import type { IngestRequest } from '../../gen/tallyback/ingest/v1/ingest_service.ts';
import * as account from '../commands/account.ts';
import * as item from '../commands/item.ts';
import { type CommandMapping, commandRequest, type HasRequestId } from '../commands/mapping.ts';
import * as order from '../commands/order.ts';

export type IngestRecord = NonNullable<IngestRequest['record']>;

export interface PreparedRecord {
  readonly request: CommandRequest;
  readonly stream: string;
  /** Empty: nobody's. */
  readonly member: string;
  /** A shop or network says what happened; what it says is kept even when it is refused. */
  readonly report: boolean;
}

/** The command of a record that has been validated. */
export function prepareRecord(record: IngestRecord, now: () => Date): PreparedRecord {
  const prepared = <Req extends HasRequestId>(
    mapping: CommandMapping<Req>,
    value: Req,
    member: string,
  ): PreparedRecord => {
    const request = commandRequest(mapping, value, now);
    return { request, stream: streamOf(request), member, report: request.aggregate === 'order' };
  };
  switch (record.$case) {
    case 'trackOrder':
      return prepared(order.trackOrder, record.value, record.value.member);
    case 'returnLines':
      return prepared(order.returnLines, record.value, '');
    case 'confirmOrder':
      return prepared(order.confirmOrder, record.value, '');
    case 'declineOrder':
      return prepared(order.declineOrder, record.value, '');
    case 'restoreOrder':
      return prepared(order.restoreOrder, record.value, '');
    case 'settleOrder':
      return prepared(order.settleOrder, record.value, '');
    case 'reportReturn':
      return prepared(order.reportReturn, record.value, record.value.member);
    case 'reportStockAdjustment':
      return prepared(order.reportStockAdjustment, record.value, '');
    case 'receiveStock':
      return prepared(item.receiveStock, record.value, '');
    case 'defineItem':
      return prepared(item.defineItem, record.value, '');
    case 'requestWithdrawal':
      return prepared(account.requestWithdrawal, record.value, record.value.member);
    case 'settleWithdrawal':
      return prepared(account.settleWithdrawal, record.value, record.value.member);
    case 'releaseDue':
      return prepared(account.releaseDue, record.value, record.value.member);
  }
}
