/** Orders, and what becomes of them. */
import type { OrderLine } from '../../gen/tallyback/order/v1/order_command_service.ts';
import type { Act } from './acts.ts';
import type { Merchant } from './catalogue.ts';
import type { Placed, ShopState } from './shop-state.ts';

type ActAt = (at: Date) => Act | undefined;

export interface OrderActs {
  readonly order: (at: Date) => Act;
  readonly amend: ActAt;
  readonly confirm: ActAt;
  readonly decline: ActAt;
  readonly restore: ActAt;
  readonly settle: ActAt;
  readonly returnLines: ActAt;
  readonly reportReturn: ActAt;
}

/** The report of an order as it stands. */
export const tracked = (placed: Placed, requestId: string, at: Date, version = placed.version): Act => ({
  via: 'ingest',
  record: {
    $case: 'trackOrder',
    value: {
      requestId,
      source: placed.merchant.name,
      externalId: placed.id,
      occurredAt: at,
      merchant: placed.merchant.name,
      member: placed.member,
      currency: placed.merchant.currency,
      sourceVersion: version,
      lines: placed.lines,
    },
  },
});

export function orderActs(state: ShopState): OrderActs {
  const { random } = state;
  const line = (merchant: Merchant, lineNo: number): OrderLine => {
    const { sku, category, price, service } = state.product(merchant);
    const quantity = BigInt(random.unit() < 0.1 ? random.between(4, 24) : random.between(1, 3));
    return { lineNo, sku, category, quantity, unitPrice: price, orderedAt: undefined, service };
  };
  /** A recent order, as most of what follows concerns those. */
  const recent = (reach = 600): Placed | undefined => random.maybe(state.placed.slice(-reach));
  const report = (placed: Placed, at: Date) => ({
    requestId: state.requestId(),
    source: placed.merchant.name,
    externalId: placed.id,
    occurredAt: at,
  });
  const statusReport = (placed: Placed, at: Date) => {
    placed.statusVersion += 1n;
    return { ...report(placed, at), sourceVersion: placed.statusVersion };
  };

  return {
    order(at) {
      const merchant = random.pick(state.merchants);
      const lines = Array.from({ length: random.between(1, 5) }, (_, index) => line(merchant, index + 1));
      const member = random.unit() < 0.08 ? '' : state.member();
      const placed: Placed = {
        merchant,
        id: state.id('order'),
        member,
        at,
        lines,
        version: 1n,
        statusVersion: 0n,
        declined: false,
      };
      state.placed.push(placed);
      return tracked(placed, state.requestId(), at);
    },
    amend(at) {
      const placed = recent(300);
      if (!placed) return undefined;
      // Lines keep the time they were ordered at; a new one is ordered now.
      const lines = placed.lines.map((known) => ({ ...known, orderedAt: known.orderedAt ?? placed.at }));
      const changed = random.maybe(lines);
      if (changed) changed.quantity = BigInt(random.between(1, 6));
      if (random.unit() < 0.4) lines.push({ ...line(placed.merchant, lines.length + 1), orderedAt: at });
      placed.lines = lines;
      placed.version += 1n;
      return tracked(placed, state.requestId(), at);
    },
    confirm(at) {
      const placed = recent();
      if (!placed || placed.declined) return undefined;
      return { via: 'ingest', record: { $case: 'confirmOrder', value: statusReport(placed, at) } };
    },
    decline(at) {
      const placed = recent();
      if (!placed) return undefined;
      placed.declined = true;
      const reason = random.pick(['not paid', 'voucher misused', 'cancelled by the customer']);
      const value = { ...statusReport(placed, at), reason };
      return { via: 'ingest', record: { $case: 'declineOrder', value } };
    },
    restore(at) {
      const placed = random.maybe(state.placed.filter((one) => one.declined));
      if (!placed) return undefined;
      placed.declined = false;
      return { via: 'ingest', record: { $case: 'restoreOrder', value: statusReport(placed, at) } };
    },
    settle(at) {
      const placed = recent(1_000);
      if (!placed || placed.declined) return undefined;
      const value = { ...statusReport(placed, at), statementId: `statement-${at.toISOString().slice(0, 7)}` };
      return { via: 'ingest', record: { $case: 'settleOrder', value } };
    },
    returnLines(at) {
      const placed = recent();
      const returned = placed && random.maybe(placed.lines);
      if (!placed || !returned) return undefined;
      // Once in a while more than was bought: that is refused.
      const quantity = random.unit() < 0.05 ? returned.quantity + 1n : 1n;
      const lines = [{ lineNo: returned.lineNo, quantity }];
      const value = { ...report(placed, at), returnId: state.id('return'), lines };
      return { via: 'ingest', record: { $case: 'returnLines', value } };
    },
    reportReturn(at) {
      const placed = recent(1_000);
      if (!placed || placed.member === '') return undefined;
      const returned = random.maybe(placed.lines);
      if (!returned) return undefined;
      const value = {
        ...report(placed, at),
        externalId: state.id('return'),
        merchant: placed.merchant.name,
        member: placed.member,
        currency: placed.merchant.currency,
        lines: [{ ...returned, lineNo: 1, quantity: BigInt(random.between(1, 3)), orderedAt: undefined }],
      };
      return { via: 'ingest', record: { $case: 'reportReturn', value } };
    },
  };
}
