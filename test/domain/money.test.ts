import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fitsInt64, lineAmountMinor, parsePrice, rebateMinor, samePrice } from '../../src/domain/money.ts';

test('an amount is price × quantity, rounded half to even to the minor unit of its currency', () => {
  expect(lineAmountMinor('2.55', 6n, 'GBP')).toBe(1530n);
  expect(lineAmountMinor('0.125', 1n, 'GBP')).toBe(12n);
  expect(lineAmountMinor('0.135', 1n, 'GBP')).toBe(14n);
  expect(lineAmountMinor('0.125001', 1n, 'GBP')).toBe(13n);
  expect(lineAmountMinor('0.125', 3n, 'GBP')).toBe(38n);
  expect(lineAmountMinor('2.5', 1n, 'JPY')).toBe(2n);
  expect(lineAmountMinor('3.5', 1n, 'KRW')).toBe(4n);
  expect(lineAmountMinor('1.2345', 1n, 'KWD')).toBe(1234n);
  expect(lineAmountMinor('1', 1n, 'TND')).toBe(1000n);
});

test('prices are digits with up to six decimals and compare by value', () => {
  expect(samePrice('2.5', '02.500')).toBe(true);
  expect(samePrice('2.5', '2.05')).toBe(false);
  for (const text of ['', '-1', '+1', '1.', '.5', '1e3', '1,5', '1.1234567', ' 1', 'NaN', '1'.repeat(19)]) {
    expect([text, parsePrice(text)]).toEqual([text, undefined]);
  }
});

test('a rebate is rounded down', () => {
  expect(rebateMinor(1530n, 500)).toBe(76n);
  expect(rebateMinor(19n, 500)).toBe(0n);
  expect(rebateMinor(1530n, 10_000)).toBe(1530n);
});

test('amounts beyond 64 bits do not wrap', () => {
  const amount = lineAmountMinor('999999999999999999', 10n ** 18n, 'GBP');
  expect(amount).toBe(999999999999999999n * 10n ** 20n);
  expect(fitsInt64(amount)).toBe(false);
  expect(fitsInt64(2n ** 63n - 1n)).toBe(true);
  expect(fitsInt64(2n ** 63n)).toBe(false);
});

test('property: the rounded amount is within half a minor unit of the exact one, and even at the half', () => {
  const micros = fc.bigInt({ min: 0n, max: 10n ** 12n });
  fc.assert(
    fc.property(micros, fc.bigInt({ min: 0n, max: 10n ** 6n }), (price, quantity) => {
      const text = `${price / 1_000_000n}.${String(price % 1_000_000n).padStart(6, '0')}`;
      const amount = lineAmountMinor(text, quantity, 'GBP');
      const error = amount * 10_000n - price * quantity;
      const distance = error < 0n ? -error : error;
      expect(distance < 5_000n || (distance === 5_000n && amount % 2n === 0n)).toBe(true);
    }),
  );
});
