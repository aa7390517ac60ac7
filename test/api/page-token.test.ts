import { hash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ApiError } from '../../src/api/errors.ts';
import {
  decodePageToken,
  encodePageToken,
  keyFromTexts,
  keyToTexts,
  type PageScope,
} from '../../src/api/queries/page-token.ts';
import type { Key } from '../../src/projections/engine/read-model.ts';
import { figures, programme, readModels, statement } from '../../src/projections/index.ts';

const scope: PageScope = { method: '/tallyback.x/List', filter: Buffer.from('filter') };

/** A token as anybody can make one up: the checksum has no key. */
function madeUp(body: string): string {
  const text = Buffer.from(`1|${scope.method}|${body.length}|${body}|filter`);
  const sum = hash('sha256', text, 'buffer').subarray(0, 12);
  return Buffer.concat([Buffer.of(1), sum, Buffer.from(body)]).toString('base64url');
}

/** The key in a token, or the reason of the refusal; anything else that is thrown goes through. */
function read(model: (typeof readModels)[number], token: string): Key | string {
  try {
    return keyFromTexts(model, decodePageToken(scope, token));
  } catch (error) {
    if (error instanceof ApiError) return error.reason;
    throw error;
  }
}

/** Whether Postgres takes it as a value. */
function storable(value: Key[number]): boolean {
  if (typeof value === 'string') return !value.includes('\0');
  if (typeof value === 'bigint') return BigInt.asIntN(64, value) === value;
  if (typeof value === 'number') return (value | 0) === value;
  return /^(?!0000)\d{4}-/.test(value.toISOString());
}

const numeric = fc.oneof(
  fc.bigInt(-(10n ** 20n), 10n ** 20n).map(String),
  fc.integer().map(String),
  fc.constantFrom(
    '',
    '-',
    '-0',
    '1e3',
    ' 1',
    '0x1',
    'NaN',
    '8640000000000001',
    '2147483648',
    '9223372036854775808',
  ),
);
const value = fc.oneof(numeric, fc.string(), fc.string({ unit: 'binary' }));
const body = fc.oneof(
  fc.array(value, { maxLength: 6 }).map((values) => JSON.stringify(values)),
  // As a key of figures, programme and statement.
  fc.tuple(value, value, value, numeric).map((values) => JSON.stringify(values)),
  fc.tuple(value, numeric).map((values) => JSON.stringify(values)),
  fc.tuple(value, value, numeric).map((values) => JSON.stringify(values)),
  fc.json(),
  fc.string(),
);

describe('a page token', () => {
  test('that is made up, with a right checksum, is a key that can be asked for or is refused', () => {
    fc.assert(
      fc.property(fc.constantFrom(...readModels), body, (model, text) => {
        const key = read(model, madeUp(text));
        if (typeof key === 'string') expect(key).toBe('PAGE_TOKEN_INVALID');
        else expect(key.every(storable)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  test.each([
    ['no JSON', figures, '['],
    ['no array', figures, '"x"'],
    ['not texts', programme, '["shop",1]'],
    ['too many values', programme, '["shop","1","2"]'],
    ['no such time', figures, '["shop","EUR","day","8640000000000001"]'],
    ['a time before year 1', figures, '["shop","EUR","day","-62135596800001"]'],
    ['more than an integer', programme, '["shop","2147483648"]'],
    ['more than a bigint', statement, '["ann","EUR","9223372036854775808"]'],
    ['a text that Postgres does not take', programme, '["\\u0000","1"]'],
  ])('with %s is refused', (_, model, text) => {
    expect(read(model, madeUp(text))).toBe('PAGE_TOKEN_INVALID');
  });

  test('that was given out gives the key back', () => {
    const keys = [
      [figures, ['shop', 'EUR', 'day', new Date('2026-03-01T12:00:00.001Z')]],
      [programme, ['shop', 2_147_483_647]],
      [statement, ['ann', 'EUR', 9_223_372_036_854_775_807n]],
    ] as const;
    for (const [model, key] of keys)
      expect(read(model, encodePageToken(scope, keyToTexts(key)))).toEqual(key);
  });
});
