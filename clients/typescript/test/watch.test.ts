/** Watches on a server that breaks off, falls silent, forgets, and says what it must not. */
import { status } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { retryAfter } from '../../../src/api/errors.ts';
import type { Balance, Watch, WatchEvent } from '../src/index.ts';
import {
  caughtUp,
  changes,
  completed,
  failure,
  heartbeat,
  reset,
  row,
  scripted,
  started,
  type WatchCall,
} from './support/scripted.ts';

const amounts = ({ rows }: Pick<Watch<Balance>, 'rows'>): Record<string, number> =>
  Object.fromEntries([...rows].map(([key, { availableMinor }]) => [key, Number(availableMinor)]));

/** A watch of a scripted server, and what was said of it to one who iterates. */
async function watching(
  script: (call: WatchCall, number: number) => void | Promise<void>,
  request: {
    readonly changesOnly?: boolean;
    readonly resumeToken?: string;
    readonly failOnReset?: boolean;
  } = {},
) {
  const server = await scripted({ watch: script });
  const watch = server.client.accounts.watchBalances({ options: request });
  const events: WatchEvent<Balance>[] = [];
  /** Rows as they were at each event. */
  const shown: Record<string, number>[] = [];
  const iterated = (async () => {
    for await (const event of watch) {
      events.push(event);
      shown.push(amounts(watch));
    }
  })();
  iterated.catch(() => undefined);
  const kinds = (): string[] => events.map(({ kind }) => kind);
  const options = (n: number) => server.watches[n]?.request.options;
  return { ...server, watch, events, shown, kinds, iterated, options };
}

describe('what a watch shows', () => {
  test('a snapshot as a whole, then changes as they come', async () => {
    const { watch, kinds, shown, events } = await watching((call) => {
      call.send(started);
      call.send(changes(row('ann', 1), row('bob', 2)));
      call.send(changes(row('cem', 3)));
      call.send(completed(3), '1');
      call.send(changes(row('bob', 20)), '2');
      call.send(caughtUp, '2');
      call.send({ $case: 'fellBehind', value: { lag: { seconds: 3n, nanos: 500_000_000 } } });
    });
    await expect.poll(kinds).toEqual(['snapshot', 'changes', 'caughtUp', 'fellBehind']);
    expect(shown[0]).toEqual({ 'ann/GBP': 1, 'bob/GBP': 2, 'cem/GBP': 3 });
    expect(shown[1]).toEqual({ 'ann/GBP': 1, 'bob/GBP': 20, 'cem/GBP': 3 });
    expect(events[1]).toMatchObject({ rows: [{ member: 'bob' }], removals: [] });
    expect(events[3]).toMatchObject({ lagMs: 3_500 });
    expect(watch.positionToken).toBe('position 2');
    expect(watch.resumeToken).toBe('resume 2');
  });

  test('without anybody who iterates, too', async () => {
    const { client } = await scripted({ watch: (call) => call.snapshot('1', row('ann', 1)) });
    const watch = client.accounts.watchBalances();
    await expect.poll(() => amounts(watch)).toEqual({ 'ann/GBP': 1 });
    watch.close();
    await watch.ended;
  });

  test('nothing of a snapshot that was broken off, nor of one that is under way', async () => {
    let goOn = (): void => undefined;
    const { shown, kinds, watch, options } = await watching((call, number) => {
      if (number === 0) {
        call.snapshot('1', row('ann', 1));
        call.send(reset);
        call.send(started);
        call.send(changes(row('ann', 2)));
        call.end(failure(status.UNAVAILABLE, 'SERVER_STOPPING'));
      } else {
        call.send(reset);
        call.send(started);
        call.send(changes(row('bob', 3)));
        goOn = () => void call.send(completed(1), '3');
      }
    });
    await expect.poll(kinds).toEqual(['snapshot', 'interrupted']);
    await expect.poll(() => options(1)?.resumeToken).toBe('resume 1');
    expect(amounts(watch)).toEqual({ 'ann/GBP': 1 });
    expect(watch.positionToken).toBe('position 1');
    goOn();
    await expect.poll(kinds).toEqual(['snapshot', 'interrupted', 'snapshot']);
    expect(shown).toEqual([{ 'ann/GBP': 1 }, { 'ann/GBP': 1 }, { 'bob/GBP': 3 }]);
  });

  test('nothing of a snapshot that was broken off, when the server then goes on without one', async () => {
    const { kinds, watch } = await watching((call, number) => {
      if (number > 0) return void call.send(changes(row('bob', 5)), '2');
      call.snapshot('1', row('ann', 1));
      call.send(reset);
      call.send(started);
      call.send(changes(row('ann', 2)));
      call.end(failure(status.UNAVAILABLE, 'SERVER_STOPPING'));
    });
    await expect.poll(kinds).toEqual(['snapshot', 'interrupted', 'changes']);
    expect(amounts(watch)).toEqual({ 'ann/GBP': 1, 'bob/GBP': 5 });
  });

  test('after a reset, the old rows until the new ones are whole', async () => {
    const { shown, kinds } = await watching((call) => {
      call.snapshot('1', row('ann', 1), row('bob', 1));
      call.send(changes(row('ann', 2)), '2');
      call.send(reset);
      call.snapshot('3', row('bob', 5));
      call.send(caughtUp, '3');
    });
    await expect.poll(kinds).toEqual(['snapshot', 'changes', 'snapshot', 'caughtUp']);
    expect(shown[2]).toEqual({ 'bob/GBP': 5 });
  });
});

describe('a watch that breaks off goes on where it was', () => {
  test.each([
    ['UNAVAILABLE', failure(status.UNAVAILABLE, 'SERVER_STOPPING', { details: [retryAfter(5)] })],
    ['TOO_MANY_WATCHES', failure(status.RESOURCE_EXHAUSTED, 'TOO_MANY_WATCHES')],
    ['SLOW_CONSUMER', failure(status.RESOURCE_EXHAUSTED, 'SLOW_CONSUMER', { details: [retryAfter(5)] })],
    ['RESOURCE_EXHAUSTED, without a reason', failure(status.RESOURCE_EXHAUSTED, '')],
    ['CANCELLED by nobody', failure(status.CANCELLED, '')],
    ['OK', undefined],
  ])('%s', async (_, end) => {
    const { kinds, options, shown } = await watching((call, number) => {
      if (number === 0) {
        call.snapshot('1', row('ann', 1));
        call.send(changes(row('ann', 2)));
        call.end(end);
      } else call.send(changes(row('ann', 3)), '2');
    });
    await expect.poll(kinds).toEqual(['snapshot', 'changes', 'interrupted', 'changes']);
    expect(options(0)?.resumeToken).toBe('');
    expect(options(1)?.resumeToken).toBe('resume 1');
    expect(shown.at(-1)).toEqual({ 'ann/GBP': 3 });
  });

  test('before anything could be resumed, as it was asked for', async () => {
    const { kinds, watches } = await watching((call, number) => {
      if (number > 0) return call.snapshot('1', row('ann', 1));
      call.send(started);
      call.end(failure(status.UNAVAILABLE, 'SERVER_STOPPING'));
    });
    await expect.poll(kinds).toEqual(['interrupted', 'snapshot']);
    expect(watches[1]?.request).toEqual(watches[0]?.request);
  });

  test('as fresh as the session only the first time', async () => {
    const server = await scripted({
      watch: (call, number) => {
        if (number > 0) return;
        call.snapshot('1');
        call.end();
      },
    });
    server.client.adopt('mine');
    server.client.accounts.watchBalances();
    await expect.poll(() => server.watches.length).toBe(2);
    expect(server.watches.map(({ request }) => request.consistency?.atLeast)).toEqual(['mine', undefined]);
  });

  test('when messages are missing: nothing after the gap is shown', async () => {
    const { kinds, events, shown, options } = await watching((call, number) => {
      if (number === 0) {
        call.snapshot('1', row('ann', 1));
        call.sequence++;
        call.send(changes(row('ann', 2)), '2');
      } else call.send(changes(row('ann', 3)), '3');
    });
    await expect.poll(kinds).toEqual(['snapshot', 'interrupted', 'changes']);
    expect(events[1]).toMatchObject({ error: { reason: 'WATCH_BROKEN' } });
    expect(options(1)?.resumeToken).toBe('resume 1');
    expect(shown).toEqual([{ 'ann/GBP': 1 }, { 'ann/GBP': 1 }, { 'ann/GBP': 3 }]);
  });

  test.each<[string, (call: WatchCall) => void]>([
    ['changes before a snapshot', (call) => call.send(changes(row('bob', 9)), '9')],
    [
      'a snapshot in the middle',
      (call) => {
        call.snapshot('1', row('ann', 1));
        call.snapshot('9', row('bob', 9));
      },
    ],
    [
      'a snapshot with rows missing',
      (call) => {
        call.send(started);
        call.send(changes(row('bob', 9)));
        call.send(completed(2), '9');
      },
    ],
    [
      'the end of a snapshot that was not begun',
      (call) => {
        call.snapshot('1', row('ann', 1));
        call.send(completed(0), '9');
      },
    ],
    [
      'caught up in the midst of a snapshot',
      (call) => {
        call.send(started);
        call.send(changes(row('bob', 9)));
        call.send(caughtUp, '9');
      },
    ],
  ])('when the server says what it must not: %s', async (_, misbehave) => {
    const { kinds, events, watch, options } = await watching((call, number) => {
      if (number === 0) return misbehave(call);
      if (call.request.options?.resumeToken === '') call.snapshot('1', row('ann', 1));
    });
    await expect.poll(() => kinds().includes('interrupted')).toBe(true);
    await expect.poll(() => amounts(watch)).toEqual({ 'ann/GBP': 1 });
    const interruption = events.find(({ kind }) => kind === 'interrupted');
    expect(interruption).toMatchObject({ error: { reason: 'WATCH_BROKEN' } });
    expect(options(1)?.resumeToken).not.toBe('resume 9');
  });

  test('when it falls silent: by the heartbeats it was promised', async () => {
    const { kinds, events, watches, options } = await watching((call, number) => {
      if (number > 0) return void call.send(caughtUp, '2');
      call.snapshot('1', row('ann', 1));
      call.send(heartbeat(50), '1');
    });
    await expect.poll(kinds).toEqual(['snapshot', 'interrupted', 'caughtUp']);
    expect(events[1]).toMatchObject({ error: { reason: 'WATCH_SILENT' } });
    expect(options(1)?.resumeToken).toBe('resume 1');
    await expect.poll(() => watches[0]?.cancelled).toBe(true);
  });

  test('and not while heartbeats come', async () => {
    let beats = 0;
    const { kinds } = await watching((call) => {
      call.snapshot('1', row('ann', 1));
      const timer = setInterval(() => {
        call.send(heartbeat(500), '1');
        if (++beats === 20) {
          clearInterval(timer);
          call.send(caughtUp, '2');
        }
      }, 100);
    });
    await expect.poll(kinds, { timeout: 15_000 }).toEqual(['snapshot', 'caughtUp']);
  });
});

describe('a token that the server does not take', () => {
  test.each([
    ['RESUME_TOKEN_OUTDATED', status.OUT_OF_RANGE],
    ['RESUME_TOKEN_INVALID', status.INVALID_ARGUMENT],
    ['RESUME_TOKEN_FOREIGN', status.INVALID_ARGUMENT],
  ])('%s: begins anew with a snapshot', async (reason, code) => {
    const { kinds, options, shown } = await watching(
      (call, number) => {
        if (number === 0) call.end(failure(code, reason));
        else call.snapshot('1', row('ann', 1));
      },
      { resumeToken: 'of yesterday', failOnReset: true },
    );
    await expect.poll(kinds).toEqual(['interrupted', 'snapshot']);
    expect(options(0)).toMatchObject({ resumeToken: 'of yesterday', failOnReset: true });
    expect(options(1)).toMatchObject({ resumeToken: '', failOnReset: true });
    expect(shown.at(-1)).toEqual({ 'ann/GBP': 1 });
  });

  test('a watch of changes only that lost its place brings a snapshot, since changes were missed', async () => {
    const { kinds, options } = await watching(
      (call, number) => {
        if (number === 0) {
          call.send(caughtUp, '1');
          call.end();
        } else if (number === 1) call.end(failure(status.OUT_OF_RANGE, 'RESUME_TOKEN_OUTDATED'));
        else call.snapshot('2', row('ann', 1));
      },
      { changesOnly: true, failOnReset: true },
    );
    await expect.poll(kinds).toEqual(['caughtUp', 'interrupted', 'interrupted', 'snapshot']);
    expect([0, 1, 2].map((n) => options(n)?.changesOnly)).toEqual([true, false, false]);
    expect([0, 1, 2].map((n) => options(n)?.resumeToken)).toEqual(['', 'resume 1', '']);
  });
});

describe('a watch ends', () => {
  test.each([
    [status.INVALID_ARGUMENT, 'INVALID_REQUEST'],
    [status.OUT_OF_RANGE, 'POSITION_UNKNOWN'],
    [status.UNAUTHENTICATED, 'NO_TOKEN'],
    [status.UNIMPLEMENTED, ''],
    [status.INTERNAL, 'INTERNAL'],
  ])('with what the server means: status %i %s', async (code, reason) => {
    const { iterated, watch, watches } = await watching((call) => call.end(failure(code, reason)));
    await expect(iterated).rejects.toMatchObject({ code: status[code], reason });
    await expect(watch.ended).rejects.toMatchObject({ reason });
    await expect(watch.until('position')).rejects.toMatchObject({ reason });
    expect(watches).toHaveLength(1);
  });

  test('when who iterates leaves', async () => {
    const server = await scripted({ watch: (call) => call.snapshot('1', row('ann', 1)) });
    const watch = server.client.accounts.watchBalances();
    for await (const { kind } of watch) if (kind === 'snapshot') break;
    await watch.ended;
    await expect.poll(() => server.watches[0]?.cancelled).toBe(true);
    expect(server.watches).toHaveLength(1);
    expect(amounts(watch)).toEqual({ 'ann/GBP': 1 });
  });

  test('without an error by its signal, in whatever it is doing', async () => {
    const server = await scripted({
      watch: (call) => {
        call.snapshot('1', row('ann', 1));
        call.end(failure(status.UNAVAILABLE, 'SERVER_STOPPING', { details: [retryAfter(3_600_000)] }));
      },
    });
    for (const stopsAt of ['the beginning', 'snapshot', 'interrupted', 'the wait for the next']) {
      const leaving = new AbortController();
      const watch = server.client.accounts.watchBalances({}, { signal: leaving.signal });
      const kinds: string[] = [];
      if (stopsAt === 'the beginning') leaving.abort();
      for await (const { kind } of watch) {
        kinds.push(kind);
        if (kind === stopsAt) leaving.abort();
        if (kind === 'interrupted') setTimeout(() => leaving.abort(), 20);
      }
      await watch.ended;
      expect(kinds).toEqual(
        stopsAt === 'the beginning'
          ? []
          : stopsAt === 'snapshot'
            ? ['snapshot']
            : ['snapshot', 'interrupted'],
      );
      await expect(watch.until('position')).rejects.toMatchObject({ code: 'CANCELLED' });
    }
  });

  test('with its connection', async () => {
    const server = await scripted({ watch: (call) => call.snapshot('1', row('ann', 1)) });
    const watch = server.client.session().accounts.watchBalances();
    await expect.poll(() => amounts(watch)).toEqual({ 'ann/GBP': 1 });
    server.client.close();
    await watch.ended;
    await expect.poll(() => server.watches[0]?.cancelled).toBe(true);
  });

  test('and cannot be iterated over by two', async () => {
    const { watch } = await watching((call) => call.snapshot('1'));
    expect(() => watch[Symbol.asyncIterator]()).toThrow('already');
  });
});

describe('until', () => {
  test('resolves when the watch says that it is through the token, not before', async () => {
    const { watch, options, watches, kinds } = await watching((call, number) => {
      if (number > 0) return;
      call.snapshot('1', row('ann', 1));
      call.send(caughtUp, '1');
    });
    await expect.poll(kinds).toEqual(['snapshot', 'caughtUp']);
    let isThrough = false;
    const through = watch.until('of a command').then(() => (isThrough = true));
    await expect.poll(() => options(1)?.notCaughtUpBefore).toBe('of a command');
    expect(options(1)?.resumeToken).toBe('resume 1');
    watches[1]?.send(changes(row('ann', 2)), '2');
    await expect.poll(() => amounts(watch)).toEqual({ 'ann/GBP': 2 });
    expect(isThrough).toBe(false);
    watches[1]?.send(caughtUp, '2');
    await through;
    // No interruption: it was the watch's own doing.
    expect(kinds()).toEqual(['snapshot', 'caughtUp', 'changes', 'caughtUp']);
  });

  test('of several tokens, one after the other; of a new watch, without a second stream', async () => {
    const server = await scripted({
      watch: (call, number) => {
        if (number === 0) call.snapshot('1', row('ann', 1));
        call.send(caughtUp, '2');
      },
    });
    const watch = server.client.accounts.watchBalances();
    await Promise.all([watch.until('a'), watch.until('b'), watch.until('a')]);
    expect(server.watches.map(({ request }) => request.options?.notCaughtUpBefore)).toEqual(['a', 'b']);
    await watch.until('c');
    expect(server.watches).toHaveLength(3);
  });

  test('rejects for a token the log does not reach, and the watch goes on', async () => {
    const { watch, kinds } = await watching((call, number) => {
      if (number === 0) call.snapshot('1', row('ann', 1));
      else if (call.request.options?.notCaughtUpBefore === '') call.send(changes(row('ann', 2)), '2');
      else call.end(failure(status.OUT_OF_RANGE, 'POSITION_UNKNOWN'));
    });
    await expect.poll(kinds).toEqual(['snapshot']);
    await expect(watch.until('of another log')).rejects.toMatchObject({ reason: 'POSITION_UNKNOWN' });
    await expect.poll(kinds).toEqual(['snapshot', 'changes']);
  });
});

test('who iterates slowly pauses the stream, and sees rows as of the event in hand', async () => {
  const messages = 5_000;
  const padding = 'x'.repeat(2_000);
  const server = await scripted({
    async watch(call) {
      call.snapshot('1');
      // As a server does that honours back-pressure.
      for (let n = 1; n <= messages; n++)
        if (!call.send(changes(row(`ann ${padding}`, n)), `${n}`)) await call.drained();
    },
  });
  const watch = server.client.accounts.watchBalances();
  const sent = (): bigint => server.watches[0]?.sequence ?? 0n;
  let seen = 0;
  for await (const event of watch) {
    if (event.kind !== 'changes') continue;
    seen++;
    expect(Object.values(amounts(watch))).toEqual([seen]);
    if (seen === messages) break;
    if (seen > 1) continue;
    for (let before = 0n; before !== sent();) {
      before = sent();
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(sent()).toBeLessThan(messages / 2);
    expect(Object.values(amounts(watch))).toEqual([1]);
  }
});
