import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { positionTokens } from '../../src/application/position-token.ts';
import { logStart, type Position } from '../../src/eventstore/port.ts';

const key = Buffer.from('key of the tests');
const tokens = positionTokens(key, 'test-store');
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'.split('');

const number = fc.oneof(fc.bigInt(-1n, 100n), fc.bigInt(0n, 2n ** 63n - 1n));
const position: fc.Arbitrary<Position> = fc.record({ commit: number, prepare: number });

describe('a position token', () => {
  test('is the position, for every instance with the key', () => {
    const other = positionTokens(Buffer.from(key), 'test-store');
    fc.assert(
      fc.property(position, (at) => {
        expect(other.decode(tokens.encode(at))).toEqual(at);
        expect(other.isForeign(tokens.encode(at))).toBe(false);
      }),
    );
    expect(tokens.decode(tokens.encode(logStart))).toEqual(logStart);
  });

  test('with any one character changed, left out or added is none', () => {
    const spoilt = fc
      .record({
        at: position,
        where: fc.nat(),
        what: fc.constantFrom(...alphabet, '=', '+', '/', ' ', '.', '\n', ''),
        how: fc.constantFrom('replace', 'insert'),
      })
      .map(({ at, where, what, how }) => {
        const token = tokens.encode(at);
        const index = where % token.length;
        return {
          token,
          text: token.slice(0, index) + what + token.slice(index + (how === 'replace' ? 1 : 0)),
        };
      })
      .filter(({ token, text }) => token !== text);
    fc.assert(
      fc.property(spoilt, ({ text }) => {
        expect(tokens.decode(text)).toBeUndefined();
        expect(tokens.isForeign(text)).toBe(false);
      }),
      { numRuns: 2_000 },
    );
  });

  test('made up is none', () => {
    const text = fc.oneof(
      fc.string(),
      fc.uint8Array({ maxLength: 80 }).map((b) => Buffer.from(b).toString('base64url')),
    );
    fc.assert(
      fc.property(text, (made) => {
        expect(tokens.decode(made)).toBeUndefined();
        expect(tokens.isForeign(made)).toBe(false);
      }),
    );
  });

  test('of another log of this installation is foreign; of another installation it is just none', () => {
    const copy = positionTokens(key, 'the-copy');
    const stranger = positionTokens(Buffer.from('another key'), 'test-store');
    fc.assert(
      fc.property(position, (at) => {
        expect(tokens.decode(copy.encode(at))).toBeUndefined();
        expect(tokens.isForeign(copy.encode(at))).toBe(true);
        expect(tokens.decode(stranger.encode(at))).toBeUndefined();
        expect(tokens.isForeign(stranger.encode(at))).toBe(false);
      }),
    );
  });

  test('of the first version still is one, of its own log only', () => {
    const first = 'AWBlx2VLgExfYuk83tbQNLo1MC81MA';
    expect(tokens.decode(first)).toEqual({ commit: 50n, prepare: 50n });
    expect(positionTokens(key, 'the-copy').decode(first)).toBeUndefined();
    expect(tokens.decode(`${first.slice(0, -1)}Q`)).toBeUndefined();
  });
});
