/** What policies must have done because of what was reported: each thing once, and nothing else. */
import type { OrderLine } from '../../../src/gen/tallyback/events/v1/order.ts';
import { grouped } from '../../support/grouped.ts';
import type { StoredEvent } from '../log.ts';
import { isOneAppend } from './requests.ts';

export function effectViolations(
  log: readonly StoredEvent[],
  rebates: ReadonlyMap<string, bigint>,
  earned: bigint,
): string[] {
  const because = grouped(
    log.filter(({ causationId }) => causationId !== undefined),
    ({ causationId = '' }) => causationId,
  );
  const total = [...rebates.values()].reduce((sum, amount) => sum + amount, 0n);
  return [
    ...log.flatMap((event) => ofOne(event, because.get(event.id) ?? [])),
    ...rebateViolations(log, rebates),
    ...(total === earned ? [] : [`accounts have earned ${earned} in all, orders earn ${total}`]),
  ];
}

function ofOne(event: StoredEvent, effects: readonly StoredEvent[]): string[] {
  const found: string[] = [];
  const moved = effects.flatMap(stockMoved).toSorted();
  const expected = stockToMove(event).toSorted();
  if (moved.join() !== expected.join())
    found.push(`stock moved [${moved.join()}] and should have moved [${expected.join()}]`);
  if (event.type === 'OrderTracked') {
    const opened = effects.filter(({ type, data }) => type === 'RebateAccrued' && data.opensEntry).length;
    const expectedOpened = event.data.header?.member === '' ? 0 : 1;
    if (opened !== expectedOpened) found.push(`${opened} rebates opened, should be ${expectedOpened}`);
  }
  for (const [stream, events] of grouped(effects, ({ stream, requestId }) => `${stream} by ${requestId}`))
    if (!isOneAppend(events)) found.push(`carried out more than once in ${stream}`);
  if (effects.some(({ type }) => type === 'CommandRefused')) found.push('a policy was refused');
  return found.map((what) => `because of ${event.type} at ${event.position}: ${what}`);
}

const stockMoved = ({ type, data }: StoredEvent): string[] => {
  switch (type) {
    case 'StockSold':
      return [`${data.level?.sku} -${data.quantity}`];
    case 'StockTakenBack':
      return [`${data.level?.sku} ${data.quantity}`];
    case 'StockAdjusted':
      return [`${data.level?.sku} ${data.delta}`];
    default:
      return [];
  }
};

/** By item, or by line for what a shop corrected. */
function stockToMove({ type, data }: StoredEvent): string[] {
  if (type === 'StockAdjustmentReported') return data.lines.map(({ sku, delta }) => `${sku} ${delta}`);
  const coming = new Map<string, bigint>();
  const count = (line: OrderLine | undefined, units: bigint): void => {
    if (line && !line.service) coming.set(line.sku, (coming.get(line.sku) ?? 0n) + units);
  };
  if (type === 'OrderTracked') for (const line of data.lines) count(line, -line.quantity);
  if (type === 'OrderAmended')
    for (const { before, after } of data.changes) {
      count(before, before?.quantity ?? 0n);
      count(after, -(after?.quantity ?? 0n));
    }
  if (type === 'LinesReturned') for (const { line, quantity } of data.lines) count(line, quantity);
  return [...coming].filter(([, units]) => units !== 0n).map(([sku, units]) => `${sku} ${units}`);
}

/** What accounts hold for each order, against what the order earns as it stands. */
function rebateViolations(log: readonly StoredEvent[], rebates: ReadonlyMap<string, bigint>): string[] {
  const booked = new Map<string, bigint>();
  for (const { type, data } of log) {
    if (type !== 'RebateAccrued' && type !== 'RebateReversed') continue;
    const amount = type === 'RebateAccrued' ? data.amountMinor : -data.amountMinor;
    booked.set(data.entryId, (booked.get(data.entryId) ?? 0n) + amount);
  }
  return [...new Set([...booked.keys(), ...rebates.keys()])]
    .filter((order) => (booked.get(order) ?? 0n) !== (rebates.get(order) ?? 0n))
    .map((order) => {
      const amounts = `earns ${rebates.get(order) ?? 0n}, booked are ${booked.get(order) ?? 0n}`;
      return `order ${order} ${amounts}\n${history(log, order)}`;
    });
}

/** What was reported of an order and booked for it, for people: the order of the two is what matters. */
function history(log: readonly StoredEvent[], order: string): string {
  const positions = new Map(log.map(({ id, position }) => [id, position]));
  return log
    .flatMap(({ type, data, position, causationId }) => {
      if ('header' in data && `${data.header?.source}~${data.header?.externalId}` === order)
        return [`  ${position} ${type}`];
      if (!('entryId' in data) || data.entryId !== order) return [];
      const amount = 'amountMinor' in data ? ` ${data.amountMinor}` : '';
      return [`  ${position} ${type}${amount} because of ${positions.get(causationId ?? '')}`];
    })
    .join('\n');
}
