/** What happens while clients watch: a few members, orders and items, most of it about the same ones. */
import { randomUUID } from 'node:crypto';
import type { CommandReceipt } from '../../src/gen/tallyback/common/v1/command.ts';
import { ReleaseOn } from '../../src/gen/tallyback/programme/v1/programme_command_service.ts';
import * as requests from '../crash/requests.ts';
import type { Request } from '../crash/requests.ts';

export const members = ['ann', 'bob', 'cyd', 'dan', 'eve', 'fay'] as const;
export const skus = ['mug', 'cup', 'pot', 'jar'] as const;
export const merchants = ['shop', 'mall'] as const;

const currency = 'GBP';
const source = 'net';
const opening = Date.UTC(2026, 0, 1);
const stepMs = 5 * 60_000;

export interface About {
  readonly member: string;
  readonly merchant: string;
  readonly sku: string;
}

/** What a watch of these rows must show from some position on: a row with this key, no older than that. */
export interface Effect {
  readonly watch: 'balances' | 'statement' | 'orders' | 'stock';
  readonly key: string;
  readonly age: bigint;
  readonly about: About;
}

export interface Command {
  readonly request: Request;
  readonly effects: (receipt: CommandReceipt) => readonly Effect[];
}

interface Placed {
  readonly externalId: string;
  readonly member: string;
  readonly merchant: string;
  readonly sku: string;
  readonly orderedAt: Date;
  version: bigint;
  statusVersion: bigint;
}

const noEffects = (): readonly Effect[] => [];

export class Shop {
  readonly #random: () => number;
  readonly #orders: Placed[] = [];
  #step = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** To be accepted before anything else. */
  openings(): Request[] {
    const validFrom = new Date(opening);
    return merchants.map((merchant) =>
      requests.publishRuleSet({
        requestId: randomUUID(),
        merchant,
        version: 1,
        occurredAt: validFrom,
        ruleSet: {
          validFrom,
          validUntil: undefined,
          priority: 0,
          rules: [{ ruleId: 'all', categories: [], skus: [], excludedSkus: [], rateBps: 725 }],
          holdDays: 0,
          releaseOn: ReleaseOn.TRACKED,
        },
      }),
    );
  }

  next(): Command {
    const step = ++this.#step;
    const roll = this.#random();
    const common = { requestId: randomUUID(), occurredAt: new Date(opening + step * stepMs) };
    const order = this.#recent();
    if (roll < 0.25) return this.#adjust(common, step);
    if (roll < 0.4) return this.#receive(common, step);
    if (roll < 0.6 || !order) return this.#track(common, this.#place(step));
    if (roll < 0.7) return this.#track(common, order);
    const about = { ...common, source, externalId: order.externalId, sourceVersion: ++order.statusVersion };
    const kind = this.#random();
    if (kind < 0.4) return { request: requests.confirmOrder(about), effects: noEffects };
    if (kind < 0.7)
      return { request: requests.declineOrder({ ...about, reason: 'test' }), effects: noEffects };
    return { request: requests.restoreOrder(about), effects: noEffects };
  }

  #adjust(common: { requestId: string; occurredAt: Date }, step: number): Command {
    const member = this.#pick(members);
    const about = { member, merchant: '', sku: '' };
    return {
      request: requests.adjustBalance({
        ...common,
        member,
        currency,
        adjustmentId: `a${step}`,
        amountMinor: BigInt(1 + Math.floor(this.#random() * 400)),
        requestedBy: 'ann',
        approvedBy: 'bob',
        reason: 'test',
      }),
      effects: ({ revision }) => [
        { watch: 'balances', key: `${member}/${currency}`, age: revision, about },
        { watch: 'statement', key: `${member}/${currency}/${revision}`, age: revision, about },
      ],
    };
  }

  #receive(common: { requestId: string; occurredAt: Date }, step: number): Command {
    const [merchant, sku] = [this.#pick(merchants), this.#pick(skus)];
    const quantity = BigInt(1 + Math.floor(this.#random() * 50));
    return {
      request: requests.receiveStock({ ...common, merchant, sku, quantity, reference: `d${step}` }),
      effects: ({ revision }) => [
        { watch: 'stock', key: `${merchant}/${sku}`, age: revision, about: { member: '', merchant, sku } },
      ],
    };
  }

  #place(step: number): Placed {
    const placed = {
      externalId: `o${step}`,
      member: this.#pick(members),
      merchant: this.#pick(merchants),
      sku: this.#pick(skus),
      orderedAt: new Date(opening + step * stepMs),
      version: 0n,
      statusVersion: 0n,
    };
    this.#orders.push(placed);
    return placed;
  }

  #track(common: { requestId: string; occurredAt: Date }, order: Placed): Command {
    const { externalId, member, merchant, sku, orderedAt } = order;
    const sourceVersion = ++order.version;
    const quantity = BigInt(1 + Math.floor(this.#random() * 6));
    const line = { lineNo: 1, sku, category: '', quantity, unitPrice: '12.34', orderedAt, service: false };
    return {
      request: requests.trackOrder({
        ...common,
        source,
        externalId,
        merchant,
        member,
        currency,
        sourceVersion,
        lines: [line],
      }),
      effects: ({ unchanged }) => {
        const about = { member, merchant, sku };
        const key = `${source}/${externalId}`;
        return unchanged ? [] : [{ watch: 'orders', key, age: sourceVersion, about }];
      },
    };
  }

  #pick<T extends string>(all: readonly T[]): T {
    const picked = all[Math.floor(this.#random() ** 1.5 * all.length)];
    if (picked === undefined) throw new RangeError('nothing to pick from');
    return picked;
  }

  /** One of the last, so that the same ones are asked about again and again. */
  #recent(): Placed | undefined {
    const { length } = this.#orders;
    return this.#orders[length - 1 - Math.floor(this.#random() * Math.min(length, 25))];
  }
}
