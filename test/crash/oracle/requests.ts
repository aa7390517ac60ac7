/** What clients were told, against what the log holds. */
import { grouped } from '../../support/grouped.ts';
import type { Asked } from '../clients.ts';
import type { StoredEvent } from '../log.ts';

export function requestViolations(log: readonly StoredEvent[], asked: readonly Asked[]): string[] {
  const stored = grouped(log, ({ requestId }) => requestId);
  const known = new Set(asked.map(({ request }) => request.requestId));
  const eventIds = new Set(log.map(({ id }) => id));
  return [
    ...asked.flatMap((one) =>
      against(one, stored.get(one.request.requestId) ?? []).map(
        (what) =>
          `request ${one.request.requestId} (${one.request.kind}; sent ${one.sent} times, ${one.unknown} without an answer): ${what}`,
      ),
    ),
    ...log
      .filter(({ requestId, causationId = '' }) => !known.has(requestId) && !eventIds.has(causationId))
      .map(({ type, position }) => `nobody asked for the ${type} at ${position}`),
    ...log
      .filter(({ position }, index) => position !== BigInt(index + 1))
      .slice(0, 1)
      .map(({ position }) => `the log has a hole before ${position}`),
    ...(eventIds.size === log.length ? [] : ['an event id is in the log twice']),
    ...revisionViolations(log),
  ];
}

function against({ request, answers }: Asked, events: readonly StoredEvent[]): string[] {
  const found: string[] = [];
  const types = events.map(({ type }) => type).join(', ') || 'nothing';
  const own = events.filter(({ type }) => request.stores.includes(type)).length;
  const refusals = events.filter(({ type }) => type === 'CommandRefused').length;
  if (answers.size === 0) found.push(`no answer at last; stored: ${types}`);
  // What is due is released in the same append, also for a request that finds its own part done already.
  const wasDone =
    request.mayBeDone && events.length > 0 && events.every(({ type }) => type === 'RebateReleased');
  if (answers.has('accepted') && own !== 1 && !wasDone) found.push(`accepted, but stored: ${types}`);
  if (answers.has('refused') && (refusals !== 1 || events.length !== 1))
    found.push(`refused, but stored: ${types}`);
  if (answers.has('refused') && answers.size > 1) found.push(`answered ${[...answers].join(' and ')}`);
  if (own + refusals > 1) found.push(`stored more than once: ${types}`);
  if (!isOneAppend(events)) found.push(`stored in more than one append: ${types}`);
  return found;
}

/** All in one stream, one after the other. */
export const isOneAppend = (events: readonly StoredEvent[]): boolean =>
  events.every(
    ({ stream, revision }, index) => stream === events[0]?.stream && revision === events[0].revision + index,
  );

function revisionViolations(log: readonly StoredEvent[]): string[] {
  const heads = new Map<string, number>();
  const found: string[] = [];
  for (const { stream, revision } of log) {
    if (revision !== (heads.get(stream) ?? -1) + 1)
      found.push(`${stream} has a hole before revision ${revision}`);
    heads.set(stream, revision);
  }
  return found;
}
