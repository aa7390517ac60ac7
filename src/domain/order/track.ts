/** The register of an order's lines: the report with the highest source version wins. */
import { accept, refuse, type Decision } from '../aggregate.ts';
import type { OrderHeader, OrderLine, OrderLineChange } from '../../gen/tallyback/events/v1/order.ts';
import type { OrderCommand } from './commands.ts';
import { recordLines, sameLine, type RecordedLines } from './lines.ts';
import { statusOf, type OrderEventType, type OrderState, type TrackedOrder } from './state.ts';

type OrderDecision = Decision<OrderEventType>;
type Track = Extract<OrderCommand, { readonly kind: 'track' }>;

/**
 * A line whose report does not say when it was ordered was ordered when the order was placed: the time of the
 * first report we took, since a later version must not move a purchase (its rule and its hold hang on it). A
 * source whose reports may overtake each other should say it.
 */
export function track(state: OrderState, command: Track): OrderDecision {
  const { tracked } = state;
  const recorded = recordLines(
    command.lines,
    command.currency,
    (line) => tracked?.lines.get(line.lineNo)?.line.orderedAt ?? tracked?.placedAt ?? command.at,
  );
  if (recorded.kind !== 'recorded') return recorded;
  return tracked === undefined
    ? firstReport(state, command, recorded)
    : amend(state, tracked, command, recorded);
}

function firstReport(
  state: OrderState,
  command: Track,
  { lines, amountMinor }: RecordedLines,
): OrderDecision {
  return accept({
    type: 'OrderTracked',
    data: {
      header: headerOf(command),
      occurredAt: command.at,
      sourceVersion: command.sourceVersion,
      lines,
      amountMinor,
      status: statusOf(state),
    },
  });
}

function amend(
  state: OrderState,
  order: TrackedOrder,
  command: Track,
  { lines, amountMinor }: RecordedLines,
): OrderDecision {
  if (command.sourceVersion <= order.sourceVersion) return accept();
  if (!sameIdentity(order.header, command)) {
    return refuse(
      'precondition',
      'ORDER_IDENTITY_CHANGED',
      'merchant, member and currency of an order never change',
    );
  }
  const changes = changesBetween(order, lines);
  const tooFew = changes.find((change) => (change.after?.quantity ?? 0n) < change.returnedQuantity);
  if (tooFew !== undefined) {
    return refuse(
      'precondition',
      'RETURNED_EXCEEDS_BOUGHT',
      `${tooFew.returnedQuantity} units of line ${lineNoOf(tooFew)} have come back already`,
    );
  }
  return accept({
    type: 'OrderAmended',
    data: {
      header: order.header,
      occurredAt: command.at,
      sourceVersion: command.sourceVersion,
      changes,
      amountMinor,
      status: statusOf(state),
    },
  });
}

function changesBetween(order: TrackedOrder, lines: readonly OrderLine[]): OrderLineChange[] {
  const changes: OrderLineChange[] = [];
  const kept = new Set<number>();
  for (const after of lines) {
    kept.add(after.lineNo);
    const known = order.lines.get(after.lineNo);
    if (known !== undefined && sameLine(known.line, after)) continue;
    changes.push({ before: known?.line, after, returnedQuantity: known?.returned ?? 0n });
  }
  for (const { line, returned } of order.lines.values()) {
    if (!kept.has(line.lineNo)) changes.push({ before: line, after: undefined, returnedQuantity: returned });
  }
  return changes;
}

const lineNoOf = (change: OrderLineChange): number => change.after?.lineNo ?? change.before?.lineNo ?? 0;

const sameIdentity = (header: OrderHeader, command: Track): boolean =>
  header.merchant === command.merchant &&
  header.member === command.member &&
  header.currency === command.currency;

const headerOf = ({ source, externalId, merchant, member, currency }: Track): OrderHeader => ({
  source,
  externalId,
  merchant,
  member,
  currency,
});
