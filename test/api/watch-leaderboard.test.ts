import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import {
  Board,
  FiguresQueryServiceClient,
  GetLeaderboardRequest,
  type LeaderboardRow,
} from '../../src/gen/tallyback/figures/v1/figures_query_service.ts';
import { Ranking, SharedRanking } from '../../src/api/watch/leaderboard/ranking.ts';
import { leaderboard } from '../../src/projections/leaderboard/leaderboard.ts';
import { BoardWatch } from './support/board.ts';
import { gate } from './support/bus.ts';
import { leaderRow } from './support/rows.ts';
import { answered, startTestApi, type TestApi, tokens, until } from './support/server.ts';
import { at } from './support/tables.ts';

let api: TestApi;
afterEach(() => api.close());

type Row = ReturnType<typeof leaderRow>;

const commit = (position: number, ...rows: Row[]): void => api.tables.commit(leaderboard, at(position), rows);

async function start(limits: NonNullable<Parameters<typeof startTestApi>[0]>['limits'] = {}): Promise<void> {
  // Heartbeats seldom, so that none comes between what is looked at.
  api = await startTestApi({ limits: { heartbeatMs: 60_000, resetSpreadMs: 10, ...limits } });
  api.state.head = at(1_000_000);
  commit(10, leaderRow('ann', 70n), leaderRow('bob', 50n), leaderRow('cid', 50n), leaderRow('dan', 10n));
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n + 1);

const positionsOf = ({ messages }: BoardWatch): (bigint | undefined)[] =>
  messages.map(({ header }) => tokens.decode(header?.positionToken ?? '')?.commit);

async function nothingLeft(): Promise<void> {
  await until(() => api.tables.listenerCount('projection:leaderboard') === 0);
}

describe('a watch of a leaderboard', () => {
  test('sends the leaders, then the places that changed, and who leads no more', async () => {
    await start();
    const watch = new BoardWatch(api.figuresQuery, { limit: 3 });
    await watch.caughtUp();
    expect(watch.places).toEqual(['1 ann 70', '2 bob 50', '3 cid 50']);
    // From nowhere to the top: everybody's rank changes, and one is out.
    commit(11, leaderRow('dan', 90n));
    await until(() => watch.rows[0]?.subject === 'dan');
    expect(watch.places).toEqual(['1 dan 90', '2 ann 70', '3 bob 50']);
    // Only a score.
    commit(12, leaderRow('dan', 91n));
    await until(() => watch.rows[0]?.score === 91n);
    expect(watch.words).toEqual([
      'snapshotStarted',
      'changes',
      'snapshotCompleted',
      'caughtUp',
      'changes',
      'changes',
    ]);
    expect(watch.sequence).toEqual(upTo(6));
    expect(positionsOf(watch)).toEqual([undefined, undefined, 10n, 10n, 11n, 12n]);
    expect(watch.messages[2]?.event).toEqual({ $case: 'snapshotCompleted', value: { rowCount: 3n } });
    expect(watch.messages[5]?.event).toEqual({
      $case: 'changes',
      value: { rows: [{ rank: 1, subject: 'dan', currency: 'EUR', score: 91n }], removals: [] },
    });
    await watch.stop();
    await nothingLeft();
  });

  test('of an empty board begins with nothing, and sees who comes', async () => {
    await start();
    const watch = new BoardWatch(api.figuresQuery, { board: Board.ITEMS_BY_UNITS, month: '2026-03' });
    await watch.caughtUp();
    expect(watch.words).toEqual(['snapshotStarted', 'snapshotCompleted', 'caughtUp']);
    const mug = { board: 'BOARD_ITEMS_BY_UNITS', month: '2026-03', currency: '' } as const;
    commit(11, leaderRow('mug', 5n, mug));
    await until(() => watch.places.length === 1);
    expect(watch.places).toEqual(['1 mug 5']);
  });

  test('sees only what is newer if it is to, and has the leaders all the same to compare with', async () => {
    await start();
    const watch = new BoardWatch(api.figuresQuery, { watch: { changesOnly: true } });
    await watch.caughtUp();
    commit(11, leaderRow('cid', 60n));
    await until(() => watch.rows.length > 0);
    expect(watch.words).toEqual(['caughtUp', 'changes']);
    expect(watch.places).toEqual(['2 cid 60', '3 bob 50']);
  });

  test('takes a resume token up with a snapshot; one of other leaders is refused', async () => {
    await start();
    const watch = new BoardWatch(api.figuresQuery, { limit: 10 });
    await watch.caughtUp();
    const { token: resumeToken } = await watch.stop();
    commit(11, leaderRow('eve', 99n));
    // Ten is what no limit is.
    const again = new BoardWatch(api.figuresQuery, {
      watch: { resumeToken, failOnReset: true, changesOnly: true },
    });
    await again.caughtUp();
    expect(again.words).toEqual(['snapshotStarted', 'changes', 'snapshotCompleted', 'caughtUp']);
    expect(again.places[0]).toBe('1 eve 99');
    for (const [other, reason] of [
      [{ limit: 9, watch: { resumeToken } }, 'RESUME_TOKEN_FOREIGN'],
      [{ merchant: 'other', watch: { resumeToken } }, 'RESUME_TOKEN_FOREIGN'],
      [{ watch: { resumeToken: resumeToken.replace('.', '.AAAA') } }, 'RESUME_TOKEN_INVALID'],
    ] as const) {
      const refused = new BoardWatch(api.figuresQuery, other);
      await until(() => refused.ended !== undefined);
      expect(refused.ended).toMatchObject({
        code: 'INVALID_ARGUMENT',
        reason,
        fields: ['options.resume_token'],
      });
    }
  });

  test('asks once for all who watch the same, and not at all for what another board saw', async () => {
    await start();
    // Half of them look later than the others.
    const watches = Array.from({ length: 20 }, (_, n) => {
      const nanos = n % 2 === 0 ? 0 : 20_000_000;
      return new BoardWatch(api.figuresQuery, { watch: { conflationWindow: { seconds: 0n, nanos } } });
    });
    const other = new BoardWatch(api.figuresQuery, { merchant: 'elsewhere' });
    await Promise.all([...watches, other].map((watch) => watch.caughtUp()));
    await delay(50);
    for (let n = 0; n < 10; n++) {
      const before = api.tables.listCalls;
      commit(100 + n, leaderRow('ann', BigInt(100 + n)));
      await until(() => watches.every(({ rows }) => rows[0]?.score === BigInt(100 + n)));
      expect(api.tables.listCalls - before).toBe(1);
    }
    const before = api.tables.listCalls;
    commit(200, leaderRow('ann', 1n, { month: '2026-03' }), leaderRow('eve', 1n, { merchant: 'third' }));
    commit(201, leaderRow('fay', 7n, { merchant: 'elsewhere' }));
    await until(() => other.rows.length === 1);
    expect(api.tables.listCalls - before).toBe(1);
  });

  test('has the position of what it waits for, although the board was not touched', async () => {
    await start();
    api.state.head = at(30);
    const watch = new BoardWatch(api.figuresQuery, { watch: { notCaughtUpBefore: tokens.encode(at(30)) } });
    await until(() => watch.words.includes('snapshotCompleted'));
    commit(30, leaderRow('zoe', 1n, { merchant: 'elsewhere' }));
    await watch.caughtUp();
    expect(positionsOf(watch).at(-1)).toBe(30n);
  });

  test('says that it is alive, with a token that goes on', async () => {
    await start({ heartbeatMs: 40 });
    const watch = new BoardWatch(api.figuresQuery);
    await watch.caughtUp();
    commit(15, leaderRow('zoe', 1n, { merchant: 'elsewhere' }));
    const before = api.tables.listCalls;
    await until(() => watch.words.at(-1) === 'heartbeat' && positionsOf(watch).at(-1) === 15n);
    expect(api.tables.listCalls).toBe(before);
  });

  test('begins again when the read model was folded anew, or ends if that was asked for', async () => {
    await start();
    const watch = new BoardWatch(api.figuresQuery);
    const strict = new BoardWatch(api.figuresQuery, { watch: { failOnReset: true } });
    await Promise.all([watch.caughtUp(), strict.caughtUp()]);
    const before = watch.messages.length;
    // Not as far as before, and other rows.
    api.tables.refold(leaderboard, at(9), [leaderRow('bob', 3n), leaderRow('ann', 2n)]);
    await until(() => watch.words.slice(before).includes('caughtUp') && strict.ended !== undefined);
    expect(watch.words.slice(before)).toEqual([
      'reset',
      'snapshotStarted',
      'changes',
      'snapshotCompleted',
      'caughtUp',
    ]);
    expect(watch.places).toEqual(['1 bob 3', '2 ann 2']);
    expect(strict.ended).toMatchObject({ code: 'OUT_OF_RANGE', reason: 'RESUME_TOKEN_OUTDATED' });
    commit(10, leaderRow('ann', 4n));
    await until(() => watch.rows[0]?.subject === 'ann');
    expect(watch.sequence).toEqual(upTo(watch.sequence.length));
  });

  test('gets over a flood with one answer', async () => {
    await start();
    const watch = new BoardWatch(api.figuresQuery);
    await watch.caughtUp();
    const before = api.tables.listCalls;
    const said = watch.words.length;
    // More than is kept in memory: the feed sends its followers to the database, where this is many pages.
    commit(20, ...Array.from({ length: 6_000 }, (_, n) => leaderRow(`m${n}`, BigInt(1_000 + n))));
    await until(() => watch.rows[0]?.subject === 'm5999');
    expect(api.tables.listCalls - before).toBeLessThanOrEqual(2);
    commit(21, leaderRow('ann', 10_000n));
    await until(() => watch.rows[0]?.subject === 'ann');
    expect(watch.rows).toHaveLength(10);
    // What is left of the flood nobody reads: another board's changes are of no interest again.
    const asked = api.tables.listCalls;
    for (const position of [22, 23, 24]) {
      commit(position, leaderRow('zoe', 1n, { merchant: 'elsewhere' }));
      await delay(5);
    }
    expect(api.tables.listCalls).toBe(asked);
    // Nothing of what was sent was out of date.
    expect(new Set(watch.words.slice(said))).toEqual(new Set(['changes']));
    await watch.stop();
    await nothingLeft();
  });

  test('waits for the token it is given', async () => {
    await start();
    const watch = new BoardWatch(api.figuresQuery, { atLeast: tokens.encode(at(20)) });
    await until(() => api.tables.waiterCount === 1);
    expect(watch.words).toEqual([]);
    commit(20, leaderRow('eve', 99n));
    await watch.caughtUp();
    expect(watch.places[0]).toBe('1 eve 99');
    expect(positionsOf(watch)[2]).toBe(20n);
  });

  test('begins again although what woke it was still of the read model as it was before', async () => {
    await start();
    const watch = new BoardWatch(api.figuresQuery);
    await watch.caughtUp();
    api.tables.tellsWritten = () => true;
    commit(11, leaderRow('ann', 80n));
    // Before anybody looks, and nobody is told of it.
    api.tables.deaf = true;
    api.tables.refold(leaderboard, at(12), [leaderRow('eve', 3n)]);
    await until(() => watch.words.includes('reset'));
    await until(() => watch.places.length === 1);
    expect(watch.places).toEqual(['1 eve 3']);
  });

  test('never has a token that is behind one it had', async () => {
    await start({ heartbeatMs: 40 });
    const watch = new BoardWatch(api.figuresQuery);
    await watch.caughtUp();
    api.tables.tellsWritten = () => true;
    commit(11, leaderRow('ann', 79n));
    await until(() => watch.rows[0]?.score === 79n);
    commit(12, leaderRow('ann', 80n));
    // The answer is as far as this, which the feed has not heard of, and cannot read yet.
    api.tables.deaf = true;
    commit(13, leaderRow('zoe', 1n, { merchant: 'elsewhere' }));
    const { opened, open } = gate();
    api.tables.held = opened;
    await until(() => watch.rows[0]?.score === 80n);
    const before = watch.words.length;
    await until(() => watch.words.slice(before).filter((word) => word === 'heartbeat').length > 2);
    open();
    const positions = positionsOf(watch).filter((position) => position !== undefined);
    expect(positions).toContain(13n);
    expect(positions).toEqual(positions.toSorted((a, b) => Number(a - b)));
  });

  test('of a client that does not read costs nothing more, and shows what is there when it reads again', async () => {
    await start({ writeStallMs: 60_000 });
    const rows = (n: number) =>
      Array.from({ length: 1_000 }, (_, m) =>
        leaderRow(`a-member-with-a-long-name-${m}`, BigInt((m * n) % 997)),
      );
    commit(20, ...rows(1));
    const client = api.connect(FiguresQueryServiceClient, { 'grpc-node.flow_control_window': 65_535 });
    const slow = new BoardWatch(client, { limit: 1_000, paused: true });
    await until(() => api.tables.listenerCount('projection:leaderboard') === 1);
    let calls = -1;
    let n = 2;
    // Until nothing is asked for it any more, whatever happens.
    while (calls !== api.tables.listCalls) {
      calls = api.tables.listCalls;
      for (const last = n + 20; n < last; n++) {
        commit(20 + n, ...rows(n));
        await delay(5);
      }
    }
    slow.call.resume();
    const { rows: truth } = await answered(
      api.figuresQuery,
      api.figuresQuery.getLeaderboard,
      GetLeaderboardRequest.fromPartial({ board: Board.MEMBERS_BY_REBATE, merchant: 'shop', limit: 1_000 }),
    );
    await until(() => positionsOf(slow).at(-1) === BigInt(19 + n));
    expect(slow.rows).toEqual(truth);
    expect(slow.sequence).toEqual(upTo(slow.sequence.length));
  });

  test('loses the watch when it takes nothing for too long', async () => {
    await start({ writeStallMs: 100 });
    const client = api.connect(FiguresQueryServiceClient, { 'grpc-node.flow_control_window': 65_535 });
    const slow = new BoardWatch(client, { limit: 1_000, paused: true });
    for (let n = 1; slow.ended === undefined; n++) {
      commit(20 + n, ...Array.from({ length: 1_000 }, (_, m) => leaderRow(`member-${m}`, BigInt(m * n))));
      await delay(2);
    }
    expect(slow.ended.code).toBe('RESOURCE_EXHAUSTED');
    await nothingLeft();
  });
});

describe('answers that are shared', () => {
  /** Each is given when it is let through, as of when it was asked for. */
  function shared() {
    const asked: { answer(): void; fail(): void }[] = [];
    const state = { position: 10, incarnation: '1' };
    const ranking = new SharedRanking(() => {
      const moment = { position: at(state.position), incarnation: state.incarnation };
      return new Promise((resolve, reject) => {
        asked.push({
          answer: () => resolve(new Ranking([], moment)),
          fail: () => reject(new Error('no database')),
        });
      });
    });
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    return { ranking, asked, state, turn };
  }

  test('are asked for after who wants them came, once for all who came meanwhile', async () => {
    const { ranking, asked, state, turn } = shared();
    const first = ranking.fresh();
    await turn();
    // What is under way may not have it.
    state.position = 11;
    const others = [ranking.fresh(), ranking.fresh()];
    await turn();
    expect(asked).toHaveLength(1);
    asked[0]?.answer();
    await turn();
    asked[1]?.answer();
    expect((await first).through).toEqual(at(10));
    for (const other of others) expect((await other).through).toEqual(at(11));
    expect(asked).toHaveLength(2);
  });

  test('are not missed for the failure of one that was under way', async () => {
    const { ranking, asked, turn } = shared();
    const first = ranking.fresh();
    await turn();
    const second = ranking.fresh();
    asked[0]?.fail();
    await expect(first).rejects.toThrow('no database');
    await turn();
    asked[1]?.answer();
    expect((await second).through).toEqual(at(10));
  });

  test('are taken from memory, or from one under way, only if everything up to the position is in', async () => {
    const { ranking, asked, state, turn } = shared();
    const under = ranking.fresh();
    await turn();
    state.position = 12;
    const wanted = ranking.atLeast({ position: at(12), incarnation: '1' });
    const early = ranking.atLeast({ position: at(10), incarnation: '1' });
    asked[0]?.answer();
    await turn();
    asked[1]?.answer();
    expect(await early).toBe(await under);
    expect((await wanted).through).toEqual(at(12));
    expect(await ranking.atLeast({ position: at(11), incarnation: '1' })).toBe(await wanted);
    expect(asked).toHaveLength(2);
    // Of another making, and not as far.
    state.position = 9;
    state.incarnation = '2';
    const anew = ranking.atLeast({ position: at(9), incarnation: '2' });
    await turn();
    asked[2]?.answer();
    expect(await anew).toMatchObject({ incarnation: '2', through: at(9) });
  });
});

/** As the contract has it: by score, then by subject and currency. */
function leadersIn(table: ReadonlyMap<string, Row>, merchant: string, limit: number): LeaderboardRow[] {
  const order = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
  return [...table.values()]
    .filter((row) => row.merchant === merchant)
    .toSorted(
      (a, b) => Number(b.score - a.score) || order(a.subject, b.subject) || order(a.currency, b.currency),
    )
    .slice(0, limit)
    .map(({ subject, currency, score }, n) => ({ rank: n + 1, subject, currency, score }));
}

test('whatever happens, wherever there is a token, what is shown is the true board of that position', async () => {
  await start();
  const row = fc.record({
    merchant: fc.constantFrom('shop', 'other'),
    subject: fc.constantFrom('ann', 'Bob', 'cid', 'ďan', '🐎', '\uffee', 'z'),
    currency: fc.constantFrom('EUR', 'GBP'),
    // Few, so that there are ties.
    score: fc.bigInt({ min: -2n, max: 3n }),
  });
  const step = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant('commit' as const),
        rows: fc.array(row, { minLength: 1, maxLength: 4 }),
        rest: fc.boolean(),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('refold' as const),
        rows: fc.array(row, { maxLength: 6 }),
        rest: fc.boolean(),
      }),
    },
  );
  let position = 1_000;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
      let table = new Map<string, Row>();
      /** What is true at each position; positions are never used again. */
      const history = new Map<bigint, ReadonlyMap<string, Row>>();
      const wrong: unknown[] = [];
      const name = ({ merchant, subject, currency }: Row): string => `${merchant} ${subject} ${currency}`;
      const put = (
        rows: readonly Pick<Row, 'merchant' | 'subject' | 'currency' | 'score'>[],
        anew: boolean,
      ): void => {
        position++;
        const changed = new Map(
          rows
            .map(({ subject, score, ...rest }) => leaderRow(subject, score, rest))
            .map((row) => [name(row), row]),
        );
        table = new Map([...(anew ? [] : table), ...changed]);
        history.set(BigInt(position), table);
        if (anew) api.tables.refold(leaderboard, at(position), [...changed.values()]);
        else commit(position, ...changed.values());
      };
      put([], true);
      const watches = [
        { merchant: 'shop', limit: 1 },
        { merchant: 'shop', limit: 4 },
        { merchant: 'shop', limit: 4, watch: { conflationWindow: { seconds: 0n, nanos: 5_000_000 } } },
        { merchant: 'other', limit: 100 },
      ].map((options) => {
        const watch: BoardWatch = new BoardWatch(api.figuresQuery, {
          ...options,
          onMessage({ header }) {
            const commitOf = tokens.decode(header?.positionToken ?? '')?.commit;
            if (commitOf === undefined) return;
            const truth = history.get(commitOf);
            if (!truth) wrong.push({ position: commitOf });
            else if (!isEqual(watch.rows, leadersIn(truth, options.merchant, options.limit)))
              wrong.push({ options, position: commitOf, shown: watch.rows });
          },
        });
        return { watch, merchant: options.merchant, limit: options.limit };
      });
      for (const { kind, rows, rest } of steps) {
        put(rows, kind === 'refold');
        if (rest) await delay(1);
      }
      await until(() =>
        watches.every(({ watch, merchant, limit }) => isEqual(watch.rows, leadersIn(table, merchant, limit))),
      );
      expect(wrong).toEqual([]);
      for (const { watch } of watches) {
        expect(watch.sequence).toEqual(upTo(watch.sequence.length));
        await watch.stop();
      }
    }),
    { numRuns: 30 },
  );
  await nothingLeft();
});

const isEqual = (a: readonly LeaderboardRow[], b: readonly LeaderboardRow[]): boolean =>
  a.length === b.length &&
  a.every(
    (row, n) =>
      row.rank === b[n]?.rank &&
      row.subject === b[n].subject &&
      row.currency === b[n].currency &&
      row.score === b[n].score,
  );
