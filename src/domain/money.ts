/**
 * Money is a `bigint` of minor units with an ISO 4217 currency; prices are exact decimal text. A bigint cannot
 * wrap, so amounts are computed without limit and checked with `fitsInt64` before an event is made of them.
 */
import { BrokenInvariant, refuse } from './aggregate.ts';

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

/** Decimals of a unit price that a source may state. */
const PRICE_DECIMALS = 6;
const PRICE_FORMAT = /^([0-9]{1,18})(?:\.([0-9]{1,6}))?$/;

const DEFAULT_EXPONENT = 2;
/** ISO 4217 currencies whose minor unit is not a hundredth. */
const EXPONENTS: ReadonlyMap<string, number> = new Map([
  ...'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF'
    .split(' ')
    .map((currency) => [currency, 0] as const),
  ...'BHD IQD JOD KWD LYD OMR TND'.split(' ').map((currency) => [currency, 3] as const),
  ...'CLF UYW'.split(' ').map((currency) => [currency, 4] as const),
]);

/** Decimals between the major and the minor unit of a currency. */
const minorUnitExponent = (currency: string): number => EXPONENTS.get(currency) ?? DEFAULT_EXPONENT;

/** Whether the wire and the database can hold it. */
export const fitsInt64 = (value: bigint): boolean => value >= INT64_MIN && value <= INT64_MAX;

/**
 * The most one document may come to, in minor units: ten thousand million pounds. Figures and boards sum documents
 * in 64 bits, and so have room for nine million of the largest.
 */
export const largestDocumentMinor = 10n ** 12n;

/** What a decision answers when an amount or a sum does not fit. */
export const amountOverflow = (what: string) =>
  refuse('invalid', 'AMOUNT_OVERFLOW', `${what} does not fit 64 bits`);

/** A unit price in millionths of the major unit, so that equal prices are equal numbers; undefined: no price. */
export function parsePrice(text: string): bigint | undefined {
  const match = PRICE_FORMAT.exec(text);
  if (match === null) return undefined;
  return BigInt(`${match[1] ?? ''}${(match[2] ?? '').padEnd(PRICE_DECIMALS, '0')}`);
}

/** As `parsePrice`, for text that has been checked before: anything else is a bug. */
export function priceMicros(text: string): bigint {
  const micros = parsePrice(text);
  if (micros === undefined) throw new BrokenInvariant(`"${text}" is not a price`);
  return micros;
}

/** By value: "2.5" is "2.50". */
export const samePrice = (a: string, b: string): boolean => a === b || priceMicros(a) === priceMicros(b);

function divideHalfEven(dividend: bigint, divisor: bigint): bigint {
  if (dividend < 0n) return -divideHalfEven(-dividend, divisor);
  const quotient = dividend / divisor;
  const twice = (dividend % divisor) * 2n;
  const up = twice > divisor || (twice === divisor && quotient % 2n === 1n);
  return up ? quotient + 1n : quotient;
}

/** unit price × quantity in minor units, rounded once, half to even. May exceed int64: see the head of the file. */
export function lineAmountMinor(unitPrice: string, quantity: bigint, currency: string): bigint {
  const divisor = 10n ** BigInt(PRICE_DECIMALS - minorUnitExponent(currency));
  return divideHalfEven(priceMicros(unitPrice) * quantity, divisor);
}

/** The rebate on an amount that is not negative: rate in basis points, rounded down to the minor unit. */
export const rebateMinor = (amountMinor: bigint, rateBps: number): bigint =>
  (amountMinor * BigInt(rateBps)) / 10_000n;

export const minBigint = (a: bigint, b: bigint): bigint => (a < b ? a : b);
