/** The end of a call: told once, to whoever still listens, whatever listeners do meanwhile. */
import { expect, test } from 'vitest';
import { Ending } from '../../src/api/ending.ts';
import { callCancelled, serverStopping } from '../../src/api/errors.ts';

test('is told once, to all who listen then, with the first reason', () => {
  const ending = new Ending();
  const told: string[] = [];
  const forgotten = (): void => void told.push('forgotten');
  ending.listen(() => told.push('first'));
  ending.listen(forgotten);
  ending.listen(() => told.push('second'));
  ending.forget(forgotten);
  expect(ending.over).toBeUndefined();
  expect(() => ending.throwIfOver()).not.toThrow();

  const why = callCancelled();
  ending.end(why);
  ending.end(serverStopping());
  ending.listen(() => told.push('too late'));
  expect(told).toEqual(['first', 'second']);
  expect(ending.over).toBe(why);
  expect(() => ending.throwIfOver()).toThrow(why);
});

test('is told to each although one who is told forgets itself and another', () => {
  const ending = new Ending();
  const told: string[] = [];
  const last = (): void => void told.push('last');
  const first = (): void => {
    told.push('first');
    ending.forget(first);
    ending.forget(last);
  };
  ending.listen(first);
  ending.listen(last);
  ending.end(callCancelled());
  expect(told).toEqual(['first', 'last']);
});

test('aborts the signal of work under way, with the reason, and of work that begins after it', async () => {
  const ending = new Ending();
  const why = callCancelled();
  const waits = (signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => {
      if (signal.aborted) reject(signal.reason as Error);
      signal.addEventListener('abort', () => reject(signal.reason as Error));
    });
  const under = ending.during(waits);
  ending.end(why);
  await expect(under).rejects.toBe(why);
  await expect(ending.during(waits)).rejects.toBe(why);
});

test('aborts nothing that is done, however it went', async () => {
  const ending = new Ending();
  const signals: AbortSignal[] = [];
  await expect(
    ending.during(async (signal) => {
      signals.push(signal);
      return 7;
    }),
  ).resolves.toBe(7);
  await expect(
    ending.during((signal) => {
      signals.push(signal);
      return Promise.reject(new Error('its own'));
    }),
  ).rejects.toThrow('its own');
  ending.end(callCancelled());
  expect(signals.map(({ aborted }) => aborted)).toEqual([false, false]);
});
