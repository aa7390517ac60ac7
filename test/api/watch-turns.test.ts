/** Turns and places: whoever goes away while it waits, or when its turn comes, keeps nobody else out. */
import { expect, onTestFinished, test, vi } from 'vitest';
import { Ending } from '../../src/api/ending.ts';
import { callCancelled } from '../../src/api/errors.ts';
import { defaultLimits } from '../../src/api/limits.ts';
import { WatchCounts } from '../../src/api/watch/counts.ts';
import { Places } from '../../src/api/watch/places.ts';
import { Semaphore } from '../../src/api/watch/semaphore.ts';
import { watch } from '../../src/api/watch/watch.ts';
import { resumeTokens } from '../../src/api/watch/resume-token.ts';
import { Stamps } from '../../src/api/watch/stamps.ts';
import { sealWith } from '../../src/application/seal.ts';
import { tokens } from './support/server.ts';

const forever = new AbortController().signal;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('turns are taken in the order in which they were asked for', async () => {
  const semaphore = new Semaphore(2);
  const inside: number[] = [];
  const leaving = new Map<number, () => void>();
  for (let n = 0; n < 5; n++) {
    void semaphore.enter(forever).then((leave) => {
      inside.push(n);
      leaving.set(n, leave);
    });
  }
  await turn();
  expect(inside).toEqual([0, 1]);
  leaving.get(1)?.();
  // Once is enough, and twice no more.
  leaving.get(1)?.();
  await turn();
  expect(inside).toEqual([0, 1, 2]);
  leaving.get(0)?.();
  leaving.get(2)?.();
  await turn();
  expect(inside).toEqual([0, 1, 2, 3, 4]);
});

test('who goes away while it waits for its turn lets the next one in', async () => {
  const semaphore = new Semaphore(1);
  const leave = await semaphore.enter(forever);
  const gone = new AbortController();
  const waiting = semaphore.enter(gone.signal);
  const next = semaphore.enter(forever);
  gone.abort(new Error('gone'));
  await expect(waiting).rejects.toThrow('gone');
  leave();
  const leaveNext = await next;
  leaveNext();
  // Who has gone before it came does not get in at all.
  await expect(semaphore.enter(gone.signal)).rejects.toThrow('gone');
  (await semaphore.enter(forever))();
});

test('who goes in the moment its turn comes has nothing read for it, gives the turn back and leaves nothing', async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const ending = new Ending();
  const gone = callCancelled();
  const did: string[] = [];
  const resume = resumeTokens(sealWith(Buffer.from('key'), 'store'), 'test');
  const ended = watch(
    {
      stamps: new Stamps({ tokens, resumeTokens: resume, clock: () => new Date(0) }),
      limits: defaultLimits,
      counts: new WatchCounts(),
    },
    {
      scope: 'test',
      settings: {
        resumeFrom: undefined,
        changesOnly: false,
        notCaughtUpBefore: undefined,
        conflationMs: 0,
        heartbeatMs: 10_000,
        failOnReset: false,
      },
      watched: {
        begin: async () => undefined,
        turn: async () => {
          ending.end(gone);
          return () => did.push('left');
        },
        snapshot: () => {
          did.push('read');
          return Promise.reject(new Error('nobody wants it'));
        },
        subscribe: () => {
          throw new Error('nobody follows');
        },
        end: () => did.push('over'),
      },
    },
    { ending, write: () => true, room: () => Promise.resolve(), cutOff: () => undefined },
  );
  await expect(ended).rejects.toBe(gone);
  expect(did).toEqual(['left', 'over']);
  expect(vi.getTimerCount()).toBe(0);
});

test('a place that is left is free for all, and one client keeps no other out', () => {
  const places = new Places({ maxWatches: 3, maxWatchesPerClient: 2 });
  const full = expect.objectContaining({ reason: 'TOO_MANY_WATCHES' });
  const takeAll = (): void => {
    places.enter('ann');
    places.enter('ann');
    expect(() => places.enter('ann')).toThrow(full);
    places.enter('bob');
    expect(() => places.enter('cid')).toThrow(full);
  };
  takeAll();
  for (const client of ['ann', 'ann', 'bob']) places.leave(client);
  // What was refused has taken none.
  takeAll();
});
