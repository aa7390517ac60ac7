/** The shops of the demo: merchants, what they sell, what their programmes give. */
import type { PublishRuleSetRequest } from '../../gen/tallyback/programme/v1/programme_command_service.ts';
import { ReleaseOn, type Rule } from '../../gen/tallyback/programme/v1/programme_command_service.ts';
import type { Chance } from './chance.ts';

interface Product {
  readonly sku: string;
  readonly category: string;
  /** Decimal text. */
  readonly price: string;
  readonly service: boolean;
}

export interface Merchant {
  readonly name: string;
  readonly currency: string;
  readonly products: readonly [Product, ...Product[]];
  readonly releaseOn: ReleaseOn;
  readonly holdDays: number;
  readonly rules: readonly Rule[];
}

const rule = (ruleId: string, categories: string[], rateBps: number): Rule => ({
  ruleId,
  categories,
  skus: [],
  excludedSkus: [],
  rateBps,
});

const shops = [
  {
    name: 'harbour-books',
    currency: 'GBP',
    categories: ['fiction', 'maps', 'prints'],
    holdDays: 3,
    rateBps: 500,
    releaseOn: ReleaseOn.TRACKED,
  },
  {
    name: 'north-outdoor',
    currency: 'GBP',
    categories: ['shoes', 'tents', 'sale'],
    holdDays: 7,
    rateBps: 800,
    releaseOn: ReleaseOn.CONFIRMED,
  },
  {
    name: 'casa-lumen',
    currency: 'EUR',
    categories: ['lamps', 'glass'],
    holdDays: 5,
    rateBps: 1_200,
    releaseOn: ReleaseOn.TRACKED,
  },
  {
    name: 'tin-robot',
    currency: 'EUR',
    categories: ['toys', 'games'],
    holdDays: 10,
    rateBps: 650,
    releaseOn: ReleaseOn.SETTLED,
  },
] as const;

const productsEach = 40;

const cents = (minor: number): string => `${Math.floor(minor / 100)}.${String(minor % 100).padStart(2, '0')}`;

export function catalogue(random: Chance): readonly [Merchant, ...Merchant[]] {
  const made = shops.map((shop): Merchant => {
    const postage: Product = { sku: 'POST', category: 'postage', price: '3.95', service: true };
    const goods = Array.from({ length: productsEach }, (_, index): Product => {
      const category = random.maybe(shop.categories) ?? shop.categories[0];
      const price = random.between(95, random.unit() < 0.15 ? 24_000 : 6_000);
      return {
        sku: `${category}-${String(index + 1).padStart(3, '0')}`,
        category,
        price: cents(price),
        service: false,
      };
    });
    const [first, ...others] = shop.categories;
    return {
      name: shop.name,
      currency: shop.currency,
      products: [goods[0] ?? postage, ...goods.slice(1), postage],
      releaseOn: shop.releaseOn,
      holdDays: shop.holdDays,
      // The first category earns more; postage earns nothing.
      rules: [
        rule('favourites', [first], shop.rateBps * 2),
        rule('everything-else', [...others], shop.rateBps),
      ],
    };
  });
  const [first, ...rest] = made;
  if (!first) throw new RangeError('there are no shops');
  return [first, ...rest];
}

export const ruleSetOf = (merchant: Merchant, requestId: string, at: Date): PublishRuleSetRequest => ({
  requestId,
  merchant: merchant.name,
  version: 1,
  occurredAt: at,
  ruleSet: {
    validFrom: new Date('2020-01-01T00:00:00Z'),
    validUntil: undefined,
    priority: 0,
    rules: [...merchant.rules],
    holdDays: merchant.holdDays,
    releaseOn: merchant.releaseOn,
  },
});
