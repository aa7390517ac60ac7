/** What happens behind the counter: stock comes in and is counted, money goes out and is corrected. */
import type { Act } from './acts.ts';
import type { Merchant } from './catalogue.ts';
import type { ShopState } from './shop-state.ts';

type ActAt = (at: Date) => Act | undefined;

export interface CounterActs {
  readonly receive: ActAt;
  readonly stockTaking: ActAt;
  readonly adjustStock: ActAt;
  readonly reserve: ActAt;
  readonly endReservation: ActAt;
  readonly withdraw: ActAt;
  readonly endWithdrawal: ActAt;
  readonly adjustBalance: ActAt;
  readonly freeze: ActAt;
}

export const received = (
  merchant: Merchant,
  sku: string,
  requestId: string,
  at: Date,
  quantity: bigint,
): Act => ({
  via: 'ingest',
  record: {
    $case: 'receiveStock',
    value: { requestId, merchant: merchant.name, sku, occurredAt: at, quantity, reference: 'delivery' },
  },
});

export function counterActs(state: ShopState): CounterActs {
  const { random } = state;
  const goods = () => {
    const merchant = random.pick(state.merchants);
    const product = state.product(merchant);
    return { merchant, product: product.service ? merchant.products[0] : product };
  };
  const item = (at: Date) => {
    const { merchant, product } = goods();
    return { requestId: state.requestId(), merchant: merchant.name, sku: product.sku, occurredAt: at };
  };
  const account = (at: Date) => {
    const { currency } = random.pick(state.merchants);
    return { requestId: state.requestId(), member: state.member(), currency, occurredAt: at };
  };
  let frozen: { member: string; currency: string } | undefined;

  return {
    receive(at) {
      const { merchant, product } = goods();
      return received(merchant, product.sku, state.requestId(), at, BigInt(random.between(10, 200)));
    },
    stockTaking(at) {
      const { merchant } = goods();
      const lines = Array.from({ length: random.between(1, 4) }, (_, index) => {
        const delta = BigInt(random.between(1, 9)) * (random.unit() < 0.8 ? -1n : 1n);
        return { lineNo: index + 1, sku: state.product(merchant).sku, delta, reason: 'stock taking' };
      });
      const value = {
        requestId: state.requestId(),
        source: merchant.name,
        externalId: state.id('count'),
        occurredAt: at,
        merchant: merchant.name,
        lines,
      };
      return { via: 'ingest', record: { $case: 'reportStockAdjustment', value } };
    },
    adjustStock(at) {
      const delta = BigInt(-random.between(1, random.unit() < 0.2 ? 5_000 : 20));
      const value = { ...item(at), delta, reason: 'damaged', reference: state.id('note') };
      return { via: 'unary', command: { $case: 'adjustStock', value } };
    },
    reserve(at) {
      const value = { ...item(at), reservationId: state.id('hold'), quantity: BigInt(random.between(1, 3)) };
      state.reservations.push({ merchant: value.merchant, sku: value.sku, id: value.reservationId });
      return { via: 'unary', command: { $case: 'reserveStock', value } };
    },
    endReservation(at) {
      const reservation = random.maybe(state.reservations);
      if (!reservation) return undefined;
      const { merchant, sku, id: reservationId } = reservation;
      const value = { ...item(at), merchant, sku, reservationId };
      const $case = random.unit() < 0.7 ? 'commitReservation' : 'releaseReservation';
      return { via: 'unary', command: { $case, value } };
    },
    withdraw(at) {
      const all = random.unit() < 0.6;
      const amountMinor = all ? 0n : BigInt(random.between(100, 2_500));
      const value = { ...account(at), withdrawalId: state.id('payout'), amountMinor, minimumMinor: 200n };
      state.withdrawals.push({ member: value.member, currency: value.currency, id: value.withdrawalId });
      return { via: 'ingest', record: { $case: 'requestWithdrawal', value } };
    },
    endWithdrawal(at) {
      // Not the very last ones: a payout takes its time.
      const withdrawal = random.maybe(state.withdrawals.slice(-60, -5));
      if (!withdrawal) return undefined;
      const { member, currency, id: withdrawalId } = withdrawal;
      const value = { ...account(at), member, currency, withdrawalId };
      return { via: 'ingest', record: { $case: 'settleWithdrawal', value } };
    },
    adjustBalance(at) {
      const samePerson = random.unit() < 0.2;
      const value = {
        ...account(at),
        adjustmentId: state.id('correction'),
        amountMinor: BigInt(random.between(50, 900)) * (random.unit() < 0.3 ? -1n : 1n),
        reason: 'goodwill',
        requestedBy: 'ada',
        approvedBy: samePerson ? 'ada' : 'grace',
      };
      return { via: 'unary', command: { $case: 'adjustBalance', value } };
    },
    freeze(at) {
      const { requestId, occurredAt, ...whose } = account(at);
      if (frozen) {
        const value = { requestId, occurredAt, ...frozen, requestedBy: 'ada' };
        frozen = undefined;
        return { via: 'unary', command: { $case: 'unfreezeAccount', value } };
      }
      frozen = whose;
      const value = { requestId, occurredAt, ...whose, reason: 'under review', requestedBy: 'ada' };
      return { via: 'unary', command: { $case: 'freezeAccount', value } };
    },
  };
}
