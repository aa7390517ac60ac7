/**
 * The shops' day, act by act: what customers buy, change their minds about and bring back, what networks confirm,
 * what goes wrong on the way. Which act comes when follows from the seed alone, not from the server's answers: so
 * some of it is asked in vain, as in life, and is refused with a reason.
 */
import type { Act } from './acts.ts';
import type { Merchant } from './catalogue.ts';
import { type Chance, weighted, zipf } from './chance.ts';
import { counterActs } from './counter.ts';
import { mischief } from './mischief.ts';
import { orderActs } from './ordering.ts';
import type { ShopState } from './shop-state.ts';

export interface Shop {
  /** The next act, at a moment of shop time. */
  next(at: Date): Act;
}

const memberCount = 160;

export function shop(random: Chance, merchants: readonly [Merchant, ...Merchant[]]): Shop {
  const memberRank = zipf(random, memberCount, 0.9);
  const productRank = zipf(random, merchants[0].products.length, 0.8);
  let numbered = 0;
  const hex = (digits: number): string =>
    Array.from({ length: digits }, () => random.below(16).toString(16)).join('');
  const state: ShopState = {
    random,
    merchants,
    placed: [],
    withdrawals: [],
    reservations: [],
    sent: [],
    requestId: () => `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}`,
    id: (prefix) => `${prefix}-${String((numbered += 1)).padStart(5, '0')}`,
    member: () => `member-${String(memberRank() + 1).padStart(3, '0')}`,
    product: ({ products }) => products[productRank()] ?? products[0],
  };
  const orders = orderActs(state);
  const counter = counterActs(state);
  const bad = mischief(state);
  const choose = weighted<(at: Date) => Act | undefined>(random, [
    [46, orders.order],
    [9, orders.amend],
    [9, orders.confirm],
    [3, orders.decline],
    [1, orders.restore],
    [4, orders.settle],
    [6, orders.returnLines],
    [3, orders.reportReturn],
    [4, counter.receive],
    [1, counter.stockTaking],
    [1, counter.adjustStock],
    [1.2, counter.reserve],
    [0.8, counter.endReservation],
    [4, counter.withdraw],
    [3, counter.endWithdrawal],
    [0.5, counter.adjustBalance],
    [0.2, counter.freeze],
    [4, bad.again],
    [2.5, bad.late],
    [2, bad.spoilt],
    [0.3, bad.unknownRelease],
    [0.5, bad.otherContent],
  ]);
  return {
    next(at) {
      // Some acts need a past (an order to amend); until there is one, people buy.
      const act = choose()?.(at) ?? orders.order(at);
      if (act.via === 'ingest') state.sent.push(act.record);
      return act;
    },
  };
}
