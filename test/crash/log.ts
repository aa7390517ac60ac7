/** The event log as it lies in Postgres, decoded by the generated codecs alone. */
import * as account from '../../src/gen/tallyback/events/v1/account.ts';
import { CommandRefused, CommandUnchanged } from '../../src/gen/tallyback/events/v1/command.ts';
import * as item from '../../src/gen/tallyback/events/v1/item.ts';
import * as order from '../../src/gen/tallyback/events/v1/order.ts';
import * as programme from '../../src/gen/tallyback/events/v1/programme.ts';
import type { CrashablePostgres } from './crashable-postgres.ts';

/** Of the events that the workload and its policies cause; any other is a violation. */
const codecs = {
  RuleSetPublished: programme.RuleSetPublished,
  OrderTracked: order.OrderTracked,
  OrderAmended: order.OrderAmended,
  LinesReturned: order.LinesReturned,
  OrderConfirmed: order.OrderConfirmed,
  OrderDeclined: order.OrderDeclined,
  OrderRestored: order.OrderRestored,
  StockAdjustmentReported: order.StockAdjustmentReported,
  RebateAccrued: account.RebateAccrued,
  RebateReversed: account.RebateReversed,
  RebateConfirmed: account.RebateConfirmed,
  RebateReleased: account.RebateReleased,
  WithdrawalRequested: account.WithdrawalRequested,
  WithdrawalSettled: account.WithdrawalSettled,
  WithdrawalFailed: account.WithdrawalFailed,
  BalanceAdjusted: account.BalanceAdjusted,
  StockReceived: item.StockReceived,
  StockSold: item.StockSold,
  StockTakenBack: item.StockTakenBack,
  StockAdjusted: item.StockAdjusted,
  CommandRefused,
  CommandUnchanged,
} as const;

export type EventType = keyof typeof codecs;

interface Stored {
  readonly position: bigint;
  readonly stream: string;
  readonly revision: number;
  readonly id: string;
  readonly requestId: string;
  /** Id of the event because of which a policy acted; undefined for what a client asked for. */
  readonly causationId: string | undefined;
}

export type StoredEvent<T extends EventType = EventType> = {
  [K in T]: Stored & { readonly type: K; readonly data: ReturnType<(typeof codecs)[K]['fromJSON']> };
}[T];

const prefix = 'tallyback.events.v1.';
const isKnown = (type: string): type is EventType => Object.hasOwn(codecs, type);

interface Row {
  readonly position: string;
  readonly stream: string;
  readonly revision: number;
  readonly id: string;
  readonly type: string;
  readonly data: string;
  readonly metadata: string;
}

function decode({ type: storedType, data, metadata, ...row }: Row): StoredEvent {
  const type = storedType.replace(prefix, '');
  if (!isKnown(type)) throw new Error(`nobody asked for an event of type ${storedType}`);
  const { requestId, $causationId } = JSON.parse(metadata) as { requestId: string; $causationId?: string };
  const event = { type, data: codecs[type].fromJSON(JSON.parse(data)) };
  return {
    ...row,
    ...event,
    position: BigInt(row.position),
    requestId,
    causationId: $causationId,
  } as StoredEvent;
}

export async function readLog(postgres: CrashablePostgres): Promise<readonly StoredEvent[]> {
  const rows = await postgres.query<Row>(
    'select position, stream, revision, id, type, data, metadata from tallyback_log.events order by position',
  );
  return rows.map(decode);
}
