/** Balances and statements as of a position or a business time, over gRPC. */
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { AccountCommand } from '../../src/domain/account/index.ts';
import { decodeEvent } from '../../src/domain/codec.ts';
import { accountStream } from '../../src/domain/streams.ts';
import type { RecordedEvent } from '../../src/eventstore/port.ts';
import type { StatementEntry } from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import type { AsOf } from '../../src/gen/tallyback/common/v1/as_of.ts';
import { ReadConsistency } from '../../src/gen/tallyback/common/v1/consistency.ts';
import { history } from '../domain/account-histories.ts';
import { adjust, day, earn100, releaseDue, takeReturn, withdraw } from '../domain/samples.ts';
import { LoggedHouse } from './support/logged-house.ts';
import { answered, ask, refusedBy, startTestApi, type TestApi, tokens, until } from './support/server.ts';
import { at } from './support/tables.ts';

let api: TestApi;
let house: LoggedHouse;
let now = day(400);
beforeAll(async () => {
  api = await startTestApi({
    streams: { readStream: (stream, options) => house.readStream(stream, options) },
    head: async () => Promise.resolve(house.head()),
    clock: () => now,
  });
});
afterAll(() => api.close());
beforeEach(() => {
  house = new LoggedHouse();
  now = day(400);
});

const point = (over: Partial<AsOf>): AsOf => ({ positionToken: '', ...over });
const position = (n: number): AsOf => point({ positionToken: tokens.encode(at(n)) });
const time = (businessTime: Date): AsOf => point({ businessTime });

const ofAnn = { member: 'ann', currency: 'GBP', consistency: undefined };
const balance = (asOf: AsOf) => answered(api.accountQuery, api.accountQuery.getBalance, { ...ofAnn, asOf });
const page = (asOf: AsOf, pageSize = 0, pageToken = '') =>
  answered(api.accountQuery, api.accountQuery.listStatement, {
    ...ofAnn,
    page: { pageSize, pageToken },
    asOf,
  });

async function pages(asOf: AsOf, size: number): Promise<StatementEntry[]> {
  const entries: StatementEntry[] = [];
  let token = '';
  do {
    const answer = await page(asOf, size, token);
    expect(answer.entries.length).toBeLessThanOrEqual(size);
    entries.push(...answer.entries);
    token = answer.nextPageToken;
  } while (token !== '');
  return entries;
}

function live(commands: readonly AccountCommand[]): void {
  for (const command of commands) house.account(command);
}

/** Revisions of what moves money and had happened, as the log has them. */
function movements(log: readonly RecordedEvent[], until: Date | undefined): bigint[] {
  const others = new Set(['RebateConfirmed', 'AccountFrozen', 'AccountUnfrozen']);
  return log
    .filter((recorded) => {
      const { type, data } = decodeEvent(recorded);
      const happened = 'occurredAt' in data ? data.occurredAt : undefined;
      return !others.has(type) && happened !== undefined && (until === undefined || happened <= until);
    })
    .map(({ revision }) => BigInt(revision));
}

describe('a position', () => {
  test('has the balance and the statement that were there, whatever came after', async () => {
    await fc.assert(
      fc.asyncProperty(history, fc.nat(), fc.integer({ min: 1, max: 4 }), async (commands, cut, size) => {
        house = new LoggedHouse();
        const first = commands.slice(0, cut % (commands.length + 1));
        live(first);
        const end = Number(house.head().commit);
        const then = house.accounts.get(accountStream('ann', 'GBP'));
        const before = then && structuredClone(then.balance);
        const [frozen, entryCount] = [then?.frozen, BigInt(then?.entries.size ?? 0)];
        live(commands.slice(first.length));

        const asked = await ask(api.accountQuery, api.accountQuery.getBalance, {
          ...ofAnn,
          asOf: position(end),
        });
        if (end === 0) expect(asked).toMatchObject({ ok: false, reason: 'ACCOUNT_NOT_FOUND' });
        else {
          expect(asked).toMatchObject({
            response: {
              balance: {
                pendingMinor: before?.pending,
                availableMinor: before?.available,
                reservedMinor: before?.reserved,
                paidMinor: before?.paid,
                debtMinor: before?.debt,
                accruedMinor: before?.accrued,
                reversedMinor: before?.reversed,
                adjustedMinor: before?.adjusted,
                frozen,
                entryCount,
                revision: BigInt(end - 1),
              },
              read: { positionToken: position(end).positionToken },
            },
          });
          expect(asked.ok && asked.response.businessTime).toBe(undefined);
        }
        const entries = await pages(position(end), size);
        expect(entries.map(({ revision }) => revision)).toEqual(
          movements(house.log.slice(0, end), undefined),
        );
        expect(entries.at(-1)?.pendingAfterMinor ?? before?.pending).toBe(before?.pending);
      }),
      { numRuns: 200 },
    );
  });

  test('that is not one of ours, or beyond the log, is refused', async () => {
    live([earn100()]);
    const good = position(1).positionToken;
    const calls = [
      (asOf: AsOf) => refusedBy(api.accountQuery, api.accountQuery.getBalance, { ...ofAnn, asOf }),
      (asOf: AsOf) =>
        refusedBy(api.accountQuery, api.accountQuery.listStatement, { ...ofAnn, page: undefined, asOf }),
    ];
    for (const call of calls) {
      for (const positionToken of ['x', good.slice(0, -3), `${good.slice(0, -4)}AAAA`]) {
        expect(await call(point({ positionToken }))).toMatchObject({
          code: 'INVALID_ARGUMENT',
          reason: 'POSITION_TOKEN_INVALID',
          fields: ['as_of.position_token'],
        });
      }
      expect(await call(position(2))).toMatchObject({
        code: 'OUT_OF_RANGE',
        reason: 'POSITION_UNKNOWN',
        fields: ['as_of.position_token'],
      });
      expect(await call(point({ positionToken: 'x'.repeat(513) }))).toMatchObject({
        reason: 'INVALID_REQUEST',
      });
    }
  });
});

describe('a business time', () => {
  test('has what had happened by then, to the moment, and says what was due', async () => {
    live([earn100(), withdraw({ at: day(40) })]);
    const moment = (n: number, ms: number) => time(new Date(day(n).getTime() + ms));
    expect((await balance(moment(30, -1))).businessTime).toMatchObject({ lateEvents: 0n, dueMinor: 0n });
    expect(await balance(moment(30, 0))).toMatchObject({
      balance: { pendingMinor: 100n, availableMinor: 0n, changedAt: day(0), revision: 0n },
      businessTime: { lateEvents: 0n, dueMinor: 100n },
    });
    expect((await balance(moment(40, -1))).balance?.pendingMinor).toBe(100n);
    expect(await balance(moment(40, 0))).toMatchObject({
      balance: { pendingMinor: 0n, reservedMinor: 100n },
      businessTime: { lateEvents: 0n, dueMinor: 0n },
    });
    const early = { ...ofAnn, asOf: moment(0, -1) };
    expect(await refusedBy(api.accountQuery, api.accountQuery.getBalance, early)).toMatchObject({
      code: 'NOT_FOUND',
      reason: 'ACCOUNT_NOT_FOUND',
      types: ['ErrorInfo', 'ResourceInfo'],
    });
    expect((await page(early.asOf)).entries).toEqual([]);
  });

  test('is answered with what is known: a late report changes it, and with a position it never does', async () => {
    live([earn100(), withdraw({ at: day(40) })]);
    const before = await balance(time(day(36)));
    expect(before).toMatchObject({ balance: { reversedMinor: 0n }, businessTime: { lateEvents: 0n } });
    live([takeReturn({ at: day(35) })]);

    const after = await balance(time(day(36)));
    expect(after).toMatchObject({ balance: { reversedMinor: 40n }, businessTime: { lateEvents: 1n } });
    expect(after.businessTime?.dueMinor).toBeUndefined();
    const repeated = point({ positionToken: before.read?.positionToken ?? '', businessTime: day(36) });
    expect(await balance(repeated)).toEqual(before);
    expect((await page(repeated)).entries).toHaveLength(1);
    expect((await page(time(day(36)))).entries).toHaveLength(2);
  });

  test('has the statement of what had happened, in pages that fit together', async () => {
    await fc.assert(
      fc.asyncProperty(
        history,
        fc.integer({ min: -1, max: 91 }).map(day),
        fc.integer({ min: 1, max: 4 }),
        async (commands, until, size) => {
          house = new LoggedHouse();
          live(commands);
          const entries = await pages(time(until), size);
          expect(entries.map(({ revision }) => revision)).toEqual(movements(house.log, until));
        },
      ),
      { numRuns: 200 },
    );
  });

  test('that has not come yet is refused; a clock a little ahead of ours is not', async () => {
    live([earn100()]);
    now = day(3);
    const ahead = (ms: number) => time(new Date(now.getTime() + ms));
    expect((await balance(ahead(60_000))).balance?.accruedMinor).toBe(100n);
    expect(
      await refusedBy(api.accountQuery, api.accountQuery.getBalance, { ...ofAnn, asOf: ahead(60_001) }),
    ).toMatchObject({
      code: 'OUT_OF_RANGE',
      reason: 'BUSINESS_TIME_IN_FUTURE',
      fields: ['as_of.business_time'],
    });
    for (const impossible of ['0500-01-01', '3000-01-01'])
      expect(
        await refusedBy(api.accountQuery, api.accountQuery.getBalance, {
          ...ofAnn,
          asOf: time(new Date(`${impossible}T00:00:00Z`)),
        }),
      ).toMatchObject({ reason: 'INVALID_REQUEST', fields: ['as_of.business_time'] });
  });
});

test('neither a position nor a time, or one together with a consistency, is refused', async () => {
  live([earn100()]);
  const refusal = (asOf: AsOf, consistency?: ReadConsistency) =>
    refusedBy(api.accountQuery, api.accountQuery.getBalance, { ...ofAnn, consistency, asOf });
  expect(await refusal(point({}))).toMatchObject({
    code: 'INVALID_ARGUMENT',
    reason: 'AS_OF_EMPTY',
    fields: ['as_of'],
  });
  const consistency = ReadConsistency.fromPartial({ atLeast: position(1).positionToken });
  for (const asOf of [position(1), time(day(1))]) {
    expect(await refusal(asOf, consistency)).toMatchObject({
      code: 'INVALID_ARGUMENT',
      reason: 'AS_OF_WITH_CONSISTENCY',
      fields: ['consistency'],
    });
  }
});

test('a page goes with its point in time, and stays the same while more is recorded', async () => {
  live([earn100(), ...[1, 2, 3, 4].map((n) => adjust({ adjustmentId: `a${n}`, at: day(n) }))]);
  for (const asOf of [position(4), time(day(3))]) {
    const first = await page(asOf, 2);
    const second = await page(asOf, 2, first.nextPageToken);
    live([adjust({ adjustmentId: `b${house.log.length}`, at: day(9) }), releaseDue(day(50))]);
    expect((await page(asOf, 2)).entries).toEqual(first.entries);
    expect(await page(asOf, 2, first.nextPageToken)).toMatchObject({
      entries: second.entries,
      nextPageToken: second.nextPageToken,
    });
    expect([...first.entries, ...second.entries].map(({ revision }) => revision)).toEqual([0n, 1n, 2n, 3n]);
    expect(second.nextPageToken).toBe('');
    for (const other of [position(3), time(day(2)), undefined]) {
      const request = { ...ofAnn, page: { pageSize: 2, pageToken: first.nextPageToken } };
      expect(
        await refusedBy(
          api.accountQuery,
          api.accountQuery.listStatement,
          other ? { ...request, asOf: other } : request,
        ),
      ).toMatchObject({ reason: 'PAGE_TOKEN_INVALID', fields: ['page.page_token'] });
    }
  }
});

describe('a long stream', () => {
  const length = 5_000;

  /** Endless: whoever reads on after it was told to stop would never end. */
  let read = 0;
  let open = 0;
  let most = 0;
  async function* endless(): AsyncIterable<RecordedEvent> {
    open++;
    most = Math.max(most, open);
    try {
      const [sample] = house.log;
      if (sample === undefined) return;
      for (let revision = 0; ; revision++) {
        if (revision % 500 === 0) await Promise.resolve();
        read++;
        const { data, type, metadata, id, stream, recordedAt } = sample;
        yield { data, type, metadata, id, stream, recordedAt, revision, position: at(revision + 1) };
      }
    } finally {
      open--;
    }
  }

  const serve = () =>
    startTestApi({
      streams: { readStream: endless },
      head: async () => Promise.resolve(at(length)),
      clock: () => now,
    });

  test('is read up to the position and no further, lets others have their turn, and few are read at once', async () => {
    live([adjust()]);
    read = 0;
    const server = await serve();
    try {
      let turns = 0;
      let ended = false;
      const beat = (): void => {
        turns++;
        if (!ended) setImmediate(beat);
      };
      setImmediate(beat);
      const answers = await Promise.all(
        Array.from({ length: 20 }, () =>
          answered(server.accountQuery, server.accountQuery.getBalance, { ...ofAnn, asOf: position(length) }),
        ),
      );
      ended = true;
      for (const { balance: found } of answers) expect(found?.revision).toBe(BigInt(length - 1));
      expect(read).toBe(20 * (length + 1));
      expect(open).toBe(0);
      expect(most).toBeLessThanOrEqual(8);
      // Of every reader, a turn for every hundred events; eight readers go side by side.
      expect(turns).toBeGreaterThan(length / 100);
    } finally {
      await server.close();
    }
  });

  test('is left when the client has gone', async () => {
    live([adjust()]);
    const server = await startTestApi({
      streams: { readStream: endless },
      head: async () => Promise.resolve(at(2 ** 40)),
      clock: () => now,
    });
    try {
      const asOf = position(2 ** 40);
      const failure = await refusedBy(
        server.accountQuery,
        server.accountQuery.getBalance,
        { ...ofAnn, asOf },
        300,
      );
      expect(failure.code).toBe('DEADLINE_EXCEEDED');
      await until(() => open === 0);
    } finally {
      await server.close();
    }
  });
});
