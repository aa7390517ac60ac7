/** What happened to a document, as proto3 JSON of tallyback.order.v1.TimelineEntry, for people. */
import { BrokenInvariant, present } from '../../domain/aggregate.ts';
import type { DomainEvent } from '../../domain/events.ts';

/** A source that reports the same order for ever must not make its row grow for ever. */
export const longestTimeline = 200;

/** The timeline with this event at its end, or unchanged if it is full. */
export function timelineWith(
  timeline: string,
  event: DomainEvent<
    | 'OrderTracked'
    | 'OrderAmended'
    | 'LinesReturned'
    | 'OrderConfirmed'
    | 'OrderDeclined'
    | 'OrderRestored'
    | 'OrderSettled'
    | 'ReturnReported'
    | 'StockAdjustmentReported'
  >,
): string {
  const entries: unknown = JSON.parse(timeline);
  if (!Array.isArray(entries)) throw new BrokenInvariant('a timeline is not an array');
  if (entries.length >= longestTimeline) return timeline;
  const entry = JSON.stringify({
    occurredAt: present(event.data.occurredAt, 'occurredAt').toISOString(),
    event: event.type,
    detail: detailOf(event),
  });
  return entries.length === 0 ? `[${entry}]` : `${timeline.slice(0, -1)},${entry}]`;
}

function detailOf({ type, data }: Parameters<typeof timelineWith>[1]): string {
  switch (type) {
    case 'OrderTracked':
    case 'OrderAmended':
    case 'OrderConfirmed':
    case 'OrderRestored':
      return `version ${data.sourceVersion}`;
    case 'OrderDeclined':
      return `version ${data.sourceVersion}${data.reason === '' ? '' : `: ${data.reason}`}`;
    case 'OrderSettled':
      return `version ${data.sourceVersion}${data.statementId === '' ? '' : `, statement ${data.statementId}`}`;
    case 'LinesReturned':
      return `return ${data.returnId}`;
    case 'ReturnReported':
    case 'StockAdjustmentReported':
      return `${data.lines.length} lines`;
  }
}
