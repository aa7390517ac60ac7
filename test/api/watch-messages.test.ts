import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as messages from '../../src/api/watch/messages.ts';
import { resumeTokens } from '../../src/api/watch/resume-token.ts';
import { Stamps } from '../../src/api/watch/stamps.ts';
import { positionTokens } from '../../src/application/position-token.ts';
import { sealWith } from '../../src/application/seal.ts';
import { WatchBalancesResponse } from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import { WatchHeader } from '../../src/gen/tallyback/common/v1/watch.ts';

describe('a message put together by hand', () => {
  // At every length a varint has.
  const sequences = fc.oneof(
    fc.nat({ max: 7 }).chain((bytes) => fc.integer({ min: -2, max: 2 }).map((by) => 128 ** bytes + by)),
    fc.maxSafeNat(),
  );
  const texts = fc.string({ maxLength: 300 });

  test('reads as the header and the event it is made of', () => {
    fc.assert(
      fc.property(
        sequences.filter((n) => n > 0 && Number.isSafeInteger(n)),
        texts,
        texts,
        fc.date({ noInvalidDate: true, min: new Date(0), max: new Date('9999-01-01') }),
        fc.bigInt({ min: 0n, max: 1n << 40n }),
        (sequence, positionToken, resumeToken, serverTime, rows) => {
          const header = { positionToken, resumeToken, serverTime };
          const event = messages.snapshotCompleted(Number(rows));
          const bytes = messages.withHeader(sequence, messages.stamp(header), event);
          expect(WatchBalancesResponse.decode(bytes)).toEqual({
            header: WatchHeader.fromPartial({ ...header, sequence: BigInt(sequence) }),
            event: { $case: 'snapshotCompleted', value: { rowCount: rows } },
          });
        },
      ),
    );
  });
});

describe('a stamp', () => {
  const key = Buffer.from('key of the tests');
  const tokens = positionTokens(key, 'test');
  const ofFeed = resumeTokens(sealWith(key, 'test'), 'projection:balance');

  test('is that of its scope, its moment and the time of its turn, whatever was asked for before', async () => {
    const scopes = fc.constantFrom('scope-a', 'scope-b');
    const moments = fc.option(
      fc.record({
        commit: fc.bigInt(1n, 3n),
        prepare: fc.bigInt(1n, 2n),
        incarnation: fc.constantFrom('1', '2'),
      }),
      { nil: undefined },
    );
    const asked = fc.record({ scope: scopes, moment: moments, newTurn: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(asked, { minLength: 2, maxLength: 30 }), async (questions) => {
        // Time passes all the time.
        let now = 0;
        let turnedAt = 0;
        const stamps = new Stamps({ tokens, resumeTokens: ofFeed, clock: () => new Date(now) });
        for (const { scope, moment, newTurn } of questions) {
          now++;
          if (newTurn) await new Promise((resolve) => setImmediate(resolve));
          if (newTurn || turnedAt === 0) turnedAt = now;
          const position = moment && { commit: moment.commit, prepare: moment.prepare };
          const through = moment && position && { position, incarnation: moment.incarnation };
          const { positionToken, resumeToken, serverTime } = WatchHeader.decode(
            stamps.of(scope, position, moment?.incarnation ?? ''),
          );
          expect(serverTime?.getTime()).toBe(turnedAt);
          expect(tokens.decode(positionToken)).toEqual(position);
          expect(resumeToken === '' ? undefined : ofFeed.decode(scope, resumeToken)).toEqual(through);
        }
      }),
    );
  });
});
