/**
 * What the clients report: orders and what becomes of them, money and stock. A few members and items are in most of
 * it, and new ones keep coming. Requests about the same thing are sent side by side, so some are refused.
 */
import { randomUUID } from 'node:crypto';
import { ReleaseOn } from '../../src/gen/tallyback/programme/v1/programme_command_service.ts';
import * as requests from './requests.ts';
import type { Request } from './requests.ts';

export const rebateBps = 725;
const merchant = 'shop';
const currency = 'GBP';
const source = 'net';
const opening = Date.UTC(2026, 0, 1);
/** Of business time between two requests: rebates that are held for a day become due within a round. */
const stepMs = 5 * 60_000;

interface Order {
  readonly externalId: string;
  readonly member: string;
  readonly declines: boolean;
  readonly lines: { lineNo: number; sku: string; quantity: bigint; unitPrice: string; service: boolean }[];
  version: bigint;
  statusVersion: bigint;
}

interface Withdrawal {
  readonly member: string;
  readonly withdrawalId: string;
}

export class Shop {
  readonly #random: () => number;
  readonly #orders: Order[] = [];
  readonly #withdrawals: Withdrawal[] = [];
  #step = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** To be accepted before anything else. */
  opening(): Request {
    const validFrom = new Date(opening);
    const ruleSet = {
      validFrom,
      validUntil: undefined,
      priority: 0,
      rules: [{ ruleId: 'all', categories: [], skus: [], excludedSkus: [], rateBps: rebateBps }],
      holdDays: 1,
      releaseOn: ReleaseOn.TRACKED,
    };
    const requestId = randomUUID();
    return requests.publishRuleSet({ requestId, merchant, version: 1, occurredAt: validFrom, ruleSet });
  }

  next(): Request {
    const step = ++this.#step;
    const roll = this.#random();
    const order = this.#recent(this.#orders);
    const common = { requestId: randomUUID(), occurredAt: new Date(opening + step * stepMs) };
    if (roll < 0.36 || !order) return this.#track(common, this.#newOrder(step));
    if (roll < 0.48) return this.#amend(common, order);
    const about = { ...common, source, externalId: order.externalId };
    if (roll < 0.58) {
      const lines = [{ lineNo: this.#pick(order.lines)?.lineNo ?? 1, quantity: 1n }];
      return requests.returnLines({ ...about, returnId: `r${step}`, lines });
    }
    if (roll < 0.7) {
      const status = { ...about, sourceVersion: ++order.statusVersion };
      if (!order.declines) return requests.confirmOrder(status);
      return this.#random() < 0.6
        ? requests.declineOrder({ ...status, reason: 'test' })
        : requests.restoreOrder(status);
    }
    const account = { ...common, member: this.#member(step), currency };
    if (roll < 0.8) {
      const people = { requestedBy: 'ann', approvedBy: 'bob', reason: 'test' };
      const amountMinor = BigInt(this.#below(400) - 100) || 1n;
      return requests.adjustBalance({ ...account, ...people, adjustmentId: `a${step}`, amountMinor });
    }
    if (roll < 0.9) return this.#payOut(account, step);
    if (roll < 0.95) {
      const quantity = BigInt(1 + this.#below(50));
      return requests.receiveStock({
        ...common,
        merchant,
        sku: this.#sku(step),
        quantity,
        reference: `d${step}`,
      });
    }
    const lines = [1, 2].map((lineNo) => ({
      lineNo,
      sku: this.#sku(step + lineNo),
      delta: BigInt(this.#below(9) - 10),
      reason: 'test',
    }));
    return requests.reportStockAdjustment({ ...common, source, externalId: `s${step}`, merchant, lines });
  }

  #newOrder(step: number): Order {
    const lines = Array.from({ length: 1 + this.#below(3) }, (_, n) => ({
      lineNo: n + 1,
      sku: this.#sku(step + n),
      quantity: BigInt(1 + this.#below(4)),
      unitPrice: `${1 + this.#below(40)}.${10 + this.#below(90)}`,
      service: this.#random() < 0.1,
    }));
    const member = this.#random() < 0.1 ? '' : this.#member(step);
    const order = { externalId: `o${step}`, member, lines, version: 0n, statusVersion: 0n };
    const placed = { ...order, declines: this.#random() < 0.3 };
    this.#orders.push(placed);
    return placed;
  }

  #amend(common: { requestId: string; occurredAt: Date }, order: Order): Request {
    const line = this.#pick(order.lines);
    if (line) line.quantity = BigInt(1 + this.#below(6));
    return this.#track(common, order);
  }

  #track(common: { requestId: string; occurredAt: Date }, order: Order): Request {
    const { externalId, member, lines } = order;
    // Without a time of their own, lines of a report that overtakes an earlier one would be other purchases.
    const orderedAt = new Date(opening + Number(externalId.slice(1)) * stepMs);
    return requests.trackOrder({
      ...common,
      source,
      externalId,
      merchant,
      member,
      currency,
      sourceVersion: ++order.version,
      lines: lines.map((line) => ({ ...line, category: '', orderedAt })),
    });
  }

  #payOut(account: { requestId: string; occurredAt: Date; member: string; currency: string }, step: number) {
    const known = this.#random() < 0.4 ? this.#recent(this.#withdrawals) : undefined;
    if (known) {
      const ended = { ...account, ...known };
      return this.#random() < 0.7
        ? requests.settleWithdrawal(ended)
        : requests.failWithdrawal({ ...ended, reason: 'test' });
    }
    const withdrawal = { member: account.member, withdrawalId: `w${step}` };
    this.#withdrawals.push(withdrawal);
    const amountMinor = BigInt(10 + this.#below(60));
    return requests.requestWithdrawal({ ...account, ...withdrawal, amountMinor, minimumMinor: 0n });
  }

  /** Three are in most of what happens; every now and then somebody is new. */
  #member(step: number): string {
    return this.#random() < 0.6 ? `hot${this.#below(3)}` : `m${Math.max(0, step - this.#below(300))}`;
  }

  #sku(step: number): string {
    return this.#random() < 0.6 ? `hot${this.#below(3)}` : `sku${Math.max(0, step - this.#below(200))}`;
  }

  #below(n: number): number {
    return Math.floor(this.#random() * n);
  }

  #pick<T>(all: readonly T[]): T | undefined {
    return all[this.#below(all.length)];
  }

  #recent<T>(all: readonly T[]): T | undefined {
    return all[all.length - 1 - this.#below(Math.min(all.length, 60))];
  }
}
