/**
 * What happens to an order, told to the account of the member who earns: evaluated lines, new targets, and
 * what releases or voids the entry. An order without a member concerns no account; an order none of whose
 * lines earns has no entry, and the account passes over what is said of it.
 */
import { present } from '../aggregate.ts';
import { conditionHolds, type AccountCommand, type LineTarget } from '../account/index.ts';
import type { DomainEvent } from '../events.ts';
import { lineAmountMinor, priceMicros } from '../money.ts';
import { evaluateLine, matchingRule, ruleSetInForce } from '../programme/index.ts';
import { accountStream, orderId } from '../streams.ts';
import { RebateCause, type RebateLine } from '../../gen/tallyback/events/v1/account.ts';
import {
  OrderStatus,
  type LinesReturned,
  type OrderAmended,
  type OrderHeader,
  type OrderLine,
  type OrderLineChange,
  type OrderTracked,
  type ReturnReported,
} from '../../gen/tallyback/events/v1/order.ts';
import { ReleaseOn } from '../../gen/tallyback/events/v1/programme.ts';
import type { Policy, PolicyCommand, PolicyContext } from './policy.ts';

type OrderRebateEvent =
  | 'OrderTracked'
  | 'OrderAmended'
  | 'LinesReturned'
  | 'OrderConfirmed'
  | 'OrderDeclined'
  | 'OrderRestored'
  | 'OrderSettled'
  | 'ReturnReported';

export const orderRebate: Policy<OrderRebateEvent> = {
  name: 'order-rebate',
  handles: [
    'OrderTracked',
    'OrderAmended',
    'LinesReturned',
    'OrderConfirmed',
    'OrderDeclined',
    'OrderRestored',
    'OrderSettled',
    'ReturnReported',
  ],
  programmeOf: (event) => {
    switch (event.type) {
      case 'OrderTracked':
      case 'OrderAmended':
      case 'ReturnReported': {
        const { member, merchant } = headerOf(event);
        return member === '' ? undefined : merchant;
      }
      case 'LinesReturned':
      case 'OrderConfirmed':
      case 'OrderDeclined':
      case 'OrderRestored':
      case 'OrderSettled':
        return undefined;
    }
  },
  react: (event, context) => {
    const header = headerOf(event);
    if (header.member === '') return [];
    const stream = accountStream(header.member, header.currency);
    return commandsFor(event, header, context).map((command): PolicyCommand => ({
      aggregate: 'account',
      stream,
      command,
    }));
  },
};

const headerOf = (event: DomainEvent<OrderRebateEvent>): OrderHeader =>
  present(event.data.header, `${event.type}.header`);

function commandsFor(
  event: DomainEvent<OrderRebateEvent>,
  header: OrderHeader,
  context: PolicyContext,
): AccountCommand[] {
  const entry = entryOf(header, present(event.data.occurredAt, `${event.type}.occurred_at`));
  switch (event.type) {
    case 'OrderTracked':
      return tracked(event.data, entry, context);
    case 'OrderAmended':
      return amended(event.data, entry, context);
    case 'LinesReturned':
      return returned(event.data, entry);
    case 'OrderConfirmed':
      return [{ kind: 'confirm-entry', ...entry.of, status: OrderStatus.CONFIRMED }];
    case 'OrderSettled':
      return [{ kind: 'confirm-entry', ...entry.of, status: OrderStatus.SETTLED }];
    case 'OrderDeclined':
      return [{ kind: 'decline-entry', ...entry.of }];
    case 'OrderRestored':
      return [{ kind: 'restore-entry', ...entry.of }];
    case 'ReturnReported':
      return unmatchedReturn(event.data, header, context);
  }
}

interface Entry {
  readonly of: Pick<AccountCommand, 'member' | 'currency' | 'at'> & { readonly entryId: string };
  readonly merchant: string;
}

const entryOf = (header: OrderHeader, at: Date): Entry => ({
  of: {
    member: header.member,
    currency: header.currency,
    at,
    entryId: orderId(header.source, header.externalId),
  },
  merchant: header.merchant,
});

function tracked({ lines, status }: OrderTracked, entry: Entry, context: PolicyContext): AccountCommand[] {
  const { added, releaseOn } = evaluate(lines, context);
  if (added.length === 0) return [];
  return withStatus(entry, retarget(entry, RebateCause.TRACKED, added, [], releaseOn, status), status);
}

/** The entry of a declined order is opened all the same: the order may be restored. */
const withStatus = (entry: Entry, target: AccountCommand, status: OrderStatus): AccountCommand[] =>
  status === OrderStatus.DECLINED ? [target, { kind: 'decline-entry', ...entry.of }] : [target];

/**
 * A line whose quantity or price changed stays under the rule of its purchase. One that now is of other goods,
 * another category or another time is another purchase: the old goes to 0 and the new is evaluated. One that
 * is free now goes to 0, as it would never have been evaluated.
 */
function amended({ changes, status }: OrderAmended, entry: Entry, context: PolicyContext): AccountCommand[] {
  const { currency } = entry.of;
  const keptLines = changes.flatMap((change) => keptAfter(change, currency));
  const { added, releaseOn } = evaluate(keptLines, context);
  const changed = changes.flatMap(targetOf);
  if (added.length === 0 && changed.length === 0) return [];
  return withStatus(entry, retarget(entry, RebateCause.AMENDED, added, changed, releaseOn, status), status);
}

function returned({ lines }: LinesReturned, entry: Entry): AccountCommand[] {
  const changed = lines.map(({ line, keptQuantity }): LineTarget => {
    const { lineNo, unitPrice } = present(line, 'ReturnedLine.line');
    return { lineNo, quantity: keptQuantity, unitPrice };
  });
  return [retarget(entry, RebateCause.RETURNED, [], changed, ReleaseOn.UNSPECIFIED, OrderStatus.UNSPECIFIED)];
}

function unmatchedReturn(
  { lines, occurredAt }: ReturnReported,
  { source, externalId, merchant, member, currency }: OrderHeader,
  { programme }: PolicyContext,
): AccountCommand[] {
  const at = present(occurredAt, 'ReturnReported.occurred_at');
  const ruleSet = ruleSetInForce(programme, at);
  if (ruleSet === undefined) return [];
  const covered = lines
    .filter((line) => matchingRule(ruleSet, line) !== undefined)
    .map(({ lineNo, sku, quantity, unitPrice }) => ({ lineNo, sku, quantity, unitPrice }));
  if (covered.length === 0) return [];
  const returnId = orderId(source, externalId);
  return [{ kind: 'take-return', member, currency, at, returnId, merchant, lines: covered }];
}

function retarget(
  entry: Entry,
  cause: RebateCause,
  added: readonly RebateLine[],
  changed: readonly LineTarget[],
  releaseOn: ReleaseOn,
  status: OrderStatus,
): AccountCommand {
  return {
    kind: 'retarget-entry',
    ...entry.of,
    merchant: entry.merchant,
    cause,
    added,
    changed,
    releaseOn,
    releasedBySource: conditionHolds(releaseOn, status),
  };
}

/**
 * The lines that earn, each under the rule set in force when it was ordered. An entry has one release
 * condition: that of the first line that earns, should the order's times fall under several rule sets.
 */
function evaluate(
  lines: readonly OrderLine[],
  { programme }: PolicyContext,
): { readonly added: RebateLine[]; readonly releaseOn: ReleaseOn } {
  const added: RebateLine[] = [];
  let releaseOn: ReleaseOn = ReleaseOn.UNSPECIFIED;
  for (const line of lines) {
    const ruleSet = ruleSetInForce(programme, present(line.orderedAt, 'OrderLine.ordered_at'));
    const evaluated = ruleSet && evaluateLine(ruleSet, line);
    if (ruleSet === undefined || evaluated === undefined) continue;
    if (added.length === 0) ({ releaseOn } = ruleSet);
    added.push(evaluated);
  }
  return { added, releaseOn };
}

/** The line after a change, with the units that the member keeps. */
function keptAfter({ after, returnedQuantity }: OrderLineChange, currency: string): OrderLine[] {
  if (after === undefined) return [];
  const quantity = after.quantity - returnedQuantity;
  return [{ ...after, quantity, amountMinor: lineAmountMinor(after.unitPrice, quantity, currency) }];
}

function targetOf({ before, after, returnedQuantity }: OrderLineChange): LineTarget[] {
  if (before === undefined) return [];
  const { lineNo, unitPrice } = before;
  return after !== undefined && priceMicros(after.unitPrice) > 0n && samePurchase(before, after)
    ? [{ lineNo, quantity: after.quantity - returnedQuantity, unitPrice: after.unitPrice }]
    : [{ lineNo, quantity: 0n, unitPrice }];
}

const samePurchase = (before: OrderLine, after: OrderLine): boolean =>
  before.sku === after.sku &&
  before.category === after.category &&
  before.orderedAt?.getTime() === after.orderedAt?.getTime();
