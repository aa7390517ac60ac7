/** The turns of one who follows, with a feed that does what the test says: nothing twice, nothing after the end. */
import { expect, test, vi } from 'vitest';
import { Ending } from '../../src/api/ending.ts';
import { callCancelled } from '../../src/api/errors.ts';
import { WatchCounts } from '../../src/api/watch/counts.ts';
import { follow } from '../../src/api/watch/follow.ts';
import * as messages from '../../src/api/watch/messages.ts';
import { resumeTokens } from '../../src/api/watch/resume-token.ts';
import { Sender } from '../../src/api/watch/sender.ts';
import { Stamps } from '../../src/api/watch/stamps.ts';
import { type Changes, OtherIncarnation, type SubscribeOptions } from '../../src/api/watch/watched.ts';
import { sealWith } from '../../src/application/seal.ts';
import { WatchBalancesResponse } from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import { gate } from './support/bus.ts';
import { tokens } from './support/server.ts';
import { at } from './support/tables.ts';

const gone = callCancelled();
const told = (n: number): Changes => ({ events: [messages.snapshotCompleted(n)], through: at(n) });
const nothingAt = (n: number): Changes => ({ events: [], through: at(n) });

/** One who follows from 0, and is given what `next` answers. */
function following({ conflationMs = 0, heartbeatMs = 60_000 } = {}) {
  const ending = new Ending();
  const said: string[] = [];
  let full = false;
  let roomMade = (): void => undefined;
  const outlet = {
    ending,
    write(bytes: Uint8Array): boolean {
      const { event } = WatchBalancesResponse.decode(bytes);
      // What is told are numbers of rows.
      said.push(event?.$case === 'snapshotCompleted' ? String(event.value.rowCount) : (event?.$case ?? ''));
      return !full;
    },
    room: (signal: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        roomMade = resolve;
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      }),
    cutOff: () => undefined,
  };
  const stamps = new Stamps({
    tokens,
    resumeTokens: resumeTokens(sealWith(Buffer.from('key'), 'store'), 'test'),
    clock: () => new Date(0),
  });
  const sender = new Sender({
    outlet,
    stamps,
    counts: new WatchCounts(),
    scope: 'test',
    heartbeatMs,
    stallMs: 60_000,
  });
  const next = vi.fn<() => Promise<Changes> | Changes>(() => nothingAt(1));
  const poke = vi.fn<(ms: number) => void>();
  const end = vi.fn<() => void>();
  let wake = (): void => undefined;
  const begin = (): Promise<never> =>
    new Promise((_, ended) =>
      follow({
        watched: {
          begin: async () => undefined,
          snapshot: () => Promise.reject(new Error('is not asked for')),
          subscribe(options: SubscribeOptions) {
            wake = options.wake;
            // Who is woken before it has its subscription waits until then.
            wake();
            return { take: next, poke, behindFor: undefined, end };
          },
        },
        settings: {
          resumeFrom: undefined,
          changesOnly: false,
          notCaughtUpBefore: undefined,
          conflationMs,
          heartbeatMs,
          failOnReset: false,
        },
        sender,
        ending,
        from: { position: at(0), incarnation: '1' },
        listener: { heard: () => undefined, ended },
      }),
    );
  return {
    begin,
    next,
    poke,
    end,
    said,
    ending,
    sender,
    wake: () => wake(),
    fill: () => (full = true),
    drain() {
      full = false;
      roomMade();
    },
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('what is there is told before whoever wakes goes on', async () => {
  const one = following();
  one.next.mockReturnValueOnce(told(1));
  const ended = one.begin();
  expect(one.said).toEqual(['1', 'caughtUp']);
  one.next.mockReturnValueOnce(told(2));
  one.wake();
  expect(one.said).toEqual(['1', 'caughtUp', '2']);
  one.ending.end(gone);
  await expect(ended).rejects.toBe(gone);
  expect(one.end).toHaveBeenCalledTimes(1);
});

test('who cannot follow any more listens to nothing: a watch may go on, and follow again', async () => {
  const one = following();
  const listened = vi.spyOn(one.ending, 'listen');
  const forgot = vi.spyOn(one.ending, 'forget');
  const ended = one.begin();
  one.next.mockImplementationOnce(() => {
    throw new OtherIncarnation('test');
  });
  one.wake();
  await expect(ended).rejects.toThrow(OtherIncarnation);
  expect(listened).toHaveBeenCalledTimes(1);
  expect(forgot.mock.calls).toEqual(listened.mock.calls);
  expect(one.end).toHaveBeenCalledTimes(1);
});

test('woken in the midst of a turn it takes once more after it, and no more than once', async () => {
  const one = following();
  const fetched = gate();
  one.next.mockReturnValueOnce(fetched.opened.then(() => told(5)));
  const ended = one.begin();
  one.wake();
  one.wake();
  expect(one.next).toHaveBeenCalledTimes(1);
  fetched.open();
  await turn();
  expect(one.said).toEqual(['5', 'caughtUp']);
  expect(one.next).toHaveBeenCalledTimes(2);
  one.ending.end(gone);
  await expect(ended).rejects.toBe(gone);
});

test('it ends when what it waits for is over, tells nothing of that, and is not woken any more', async () => {
  const one = following();
  const fetched = gate();
  one.next.mockReturnValueOnce(fetched.opened.then(() => told(5)));
  const ended = one.begin();
  one.ending.end(gone);
  await turn();
  expect(one.end).not.toHaveBeenCalled();
  fetched.open();
  await expect(ended).rejects.toBe(gone);
  expect(one.end).toHaveBeenCalledTimes(1);
  one.wake();
  expect(one.next).toHaveBeenCalledTimes(1);
  expect(one.said).toEqual([]);
});

test('a failure ends it, at once or later', async () => {
  const one = following();
  one.next.mockImplementationOnce(() => {
    throw new Error('broken');
  });
  await expect(one.begin()).rejects.toThrow('broken');
  const other = following();
  const ended = other.begin();
  other.next.mockRejectedValueOnce(new Error('broken later'));
  other.wake();
  await expect(ended).rejects.toThrow('broken later');
  expect([one.end.mock.calls.length, other.end.mock.calls.length]).toEqual([1, 1]);
});

test('a flood is gone through without a window, what comes after it with one', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    const one = following({ conflationMs: 1_000 });
    one.next.mockReturnValueOnce({ ...told(1), more: 'now' }).mockReturnValueOnce(told(2));
    const ended = one.begin();
    expect(one.said).toEqual(['1', '2', 'caughtUp']);
    one.next.mockReturnValueOnce(told(3));
    one.wake();
    await vi.advanceTimersByTimeAsync(999);
    expect(one.said).toEqual(['1', '2', 'caughtUp']);
    await vi.advanceTimersByTimeAsync(1);
    expect(one.said).toEqual(['1', '2', 'caughtUp', '3']);
    one.wake();
    one.ending.end(gone);
    await expect(ended).rejects.toBe(gone);
    one.sender.end();
  } finally {
    vi.useRealTimers();
  }
});

test('a heartbeat comes with a look when it is idle, in between when it waits, and never behind what is not taken', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    const one = following({ heartbeatMs: 1_000 });
    const ended = one.begin();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(one.said).toEqual(['caughtUp', 'heartbeat']);
    expect(one.poke.mock.calls).toEqual([[500]]);
    const fetched = gate();
    one.next.mockReturnValueOnce(fetched.opened.then(() => told(5)));
    one.wake();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(one.said).toEqual(['caughtUp', 'heartbeat', 'heartbeat']);
    one.fill();
    fetched.open();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(one.said).toEqual(['caughtUp', 'heartbeat', 'heartbeat', '5']);
    one.drain();
    await vi.advanceTimersByTimeAsync(0);
    // So long has nothing been said.
    expect(one.said).toEqual(['caughtUp', 'heartbeat', 'heartbeat', '5', 'heartbeat']);
    one.ending.end(gone);
    await expect(ended).rejects.toBe(gone);
    one.sender.end();
  } finally {
    vi.useRealTimers();
  }
});
