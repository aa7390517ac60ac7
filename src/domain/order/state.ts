/**
 * One document of one source: an order, a return that names no order, or a stock adjustment; the first report
 * decides which. Reports may come late, twice and in any order, so an order is two registers in which the
 * highest source version wins: its lines, and its status. A status report may come before the order itself.
 *
 *     lines    untracked ──OrderTracked──▶ tracked ──OrderAmended, LinesReturned──▶ tracked
 *     status   tracked ◀──▶ confirmed ◀──▶ declined ◀──▶ settled    (whatever the newest report says)
 */
import { BrokenInvariant, present } from '../aggregate.ts';
import type { DomainEvent } from '../events.ts';
import {
  OrderStatus,
  type LinesReturned,
  type OrderHeader,
  type OrderLine,
  type OrderLineChange,
  type OrderTracked,
} from '../../gen/tallyback/events/v1/order.ts';
import { documentFingerprint, returnFingerprint } from './content.ts';

export type StatusEventType = 'OrderConfirmed' | 'OrderDeclined' | 'OrderRestored' | 'OrderSettled';
export type OrderEventType =
  | 'OrderTracked'
  | 'OrderAmended'
  | 'LinesReturned'
  | StatusEventType
  | 'ReturnReported'
  | 'StockAdjustmentReported'
  | 'CommandRefused'
  | 'CommandUnchanged';
export type OrderEvent = DomainEvent<OrderEventType>;
export type StatusEvent = DomainEvent<StatusEventType>;

export type DocumentKind = 'order' | 'return' | 'stock-adjustment';

interface KnownLine {
  readonly line: OrderLine;
  /** Units that have come back, at most those bought. */
  readonly returned: bigint;
}

/** The register of an order's lines. */
export interface TrackedOrder {
  readonly header: OrderHeader;
  /** When it was placed. */
  readonly placedAt: Date;
  sourceVersion: bigint;
  readonly lines: Map<number, KnownLine>;
  /** Return id to the fingerprint of what it returned. */
  readonly returns: Map<string, string>;
}

export interface OrderState {
  /** Undefined: nothing was reported yet. */
  kind: DocumentKind | undefined;
  /** Undefined until the order itself was reported. */
  tracked: TrackedOrder | undefined;
  /** The newest status report; undefined: none, the order is just tracked. */
  lastStatus: StatusEvent | undefined;
  /** Fingerprint of a return or stock adjustment. */
  content: string | undefined;
}

export const initialOrder = (): OrderState => ({
  kind: undefined,
  tracked: undefined,
  lastStatus: undefined,
  content: undefined,
});

export function statusOf(state: OrderState): OrderStatus {
  switch (state.lastStatus?.type) {
    case undefined:
    case 'OrderRestored':
      return OrderStatus.TRACKED;
    case 'OrderConfirmed':
      return OrderStatus.CONFIRMED;
    case 'OrderDeclined':
      return OrderStatus.DECLINED;
    case 'OrderSettled':
      return OrderStatus.SETTLED;
  }
}

export function evolveOrder(state: OrderState, event: OrderEvent): OrderState {
  switch (event.type) {
    case 'OrderTracked':
      state.kind = 'order';
      state.tracked = trackedOf(event.data);
      return state;
    case 'OrderAmended': {
      const order = trackedIn(state);
      order.sourceVersion = event.data.sourceVersion;
      for (const change of event.data.changes) amendLine(order, change);
      return state;
    }
    case 'LinesReturned':
      returnLines(trackedIn(state), event.data);
      return state;
    case 'OrderConfirmed':
    case 'OrderDeclined':
    case 'OrderRestored':
    case 'OrderSettled':
      state.kind = 'order';
      state.lastStatus = event;
      return state;
    case 'ReturnReported':
      state.kind = 'return';
      state.content = documentFingerprint(
        present(event.data.header, 'ReturnReported.header'),
        event.data.lines,
      );
      return state;
    case 'StockAdjustmentReported':
      state.kind = 'stock-adjustment';
      state.content = documentFingerprint(
        present(event.data.header, 'StockAdjustmentReported.header'),
        event.data.lines,
      );
      return state;
    case 'CommandRefused':
    case 'CommandUnchanged':
      return state;
  }
}

function trackedIn(state: OrderState): TrackedOrder {
  return present(state.tracked, 'OrderTracked before a change of the order');
}

const trackedOf = (data: OrderTracked): TrackedOrder => ({
  header: present(data.header, 'OrderTracked.header'),
  placedAt: present(data.occurredAt, 'OrderTracked.occurred_at'),
  sourceVersion: data.sourceVersion,
  lines: new Map(data.lines.map((line) => [line.lineNo, { line, returned: 0n }])),
  returns: new Map(),
});

function amendLine(order: TrackedOrder, { before, after, returnedQuantity }: OrderLineChange): void {
  if (after !== undefined) order.lines.set(after.lineNo, { line: after, returned: returnedQuantity });
  else if (before !== undefined) order.lines.delete(before.lineNo);
}

function returnLines(order: TrackedOrder, data: LinesReturned): void {
  const returned = data.lines.map(({ line, quantity }) => ({
    lineNo: present(line, 'ReturnedLine.line').lineNo,
    quantity,
  }));
  for (const { lineNo, quantity } of returned) {
    const known = order.lines.get(lineNo);
    if (known === undefined) throw new BrokenInvariant(`line ${lineNo} came back but was never bought`);
    order.lines.set(lineNo, { line: known.line, returned: known.returned + quantity });
  }
  order.returns.set(data.returnId, returnFingerprint(returned));
}
