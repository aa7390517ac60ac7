/** Whether what is followed keeps up: looked at every tenth of a second here, by a clock that the test moves. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Lag } from '../../src/api/watch/lag.ts';
import { at } from './support/tables.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function followed() {
  const log = { head: 10, through: 10, failure: false };
  const told: (number | undefined)[] = [];
  const lag = new Lag({
    head: async () => {
      if (log.failure) throw new Error('no log');
      return at(log.head);
    },
    through: async () => at(log.through),
    clock: () => new Date(Date.now()),
    every: 100,
    changed: () => told.push(lag.behindFor),
  });
  lag.start();
  return { lag, log, told };
}

const looks = (count: number): Promise<unknown> => vi.advanceTimersByTimeAsync(100 * count);

test('who reaches where the log was at the last look keeps up, however far the log is by then', async () => {
  const { lag, log, told } = followed();
  for (let n = 0; n < 10; n++) {
    log.head += 5;
    await looks(1);
    expect(lag.behindFor).toBeUndefined();
    log.through = log.head;
    log.head += 5;
  }
  expect(told).toEqual([]);
  lag.stop();
});

test('who does not is behind since that look, until it is there', async () => {
  const { lag, log, told } = followed();
  log.head = 20;
  await looks(1);
  // Seen now: it has until the next look to get there.
  expect(lag.behindFor).toBeUndefined();
  await looks(1);
  expect(lag.behindFor).toBe(100);
  // On its way, and the log goes on: it is not yet where it had to be.
  log.through = 19;
  log.head = 30;
  await looks(2);
  expect(lag.behindFor).toBe(300);
  log.through = 20;
  await looks(1);
  expect(lag.behindFor).toBeUndefined();
  expect(told).toEqual([100, undefined]);
  // Where the log was then is the next goal.
  await looks(1);
  expect(lag.behindFor).toBe(100);
  lag.stop();
});

test('a log that cannot be asked is one that nobody keeps up with', async () => {
  const { lag, log, told } = followed();
  log.failure = true;
  await looks(3);
  expect(lag.behindFor).toBe(200);
  log.failure = false;
  await looks(1);
  expect(lag.behindFor).toBeUndefined();
  expect(told).toEqual([0, undefined]);
  lag.stop();
});

test('nobody is told anything after the end, and a new beginning knows nothing of before', async () => {
  const { lag, log, told } = followed();
  log.head = 20;
  await looks(2);
  expect(told).toEqual([100]);
  lag.stop();
  expect(lag.behindFor).toBeUndefined();
  await looks(3);
  expect([lag.behindFor, told]).toEqual([undefined, [100]]);
  lag.start();
  await looks(1);
  expect(lag.behindFor).toBeUndefined();
  // Stopped within a look: what that finds out is of before, too.
  vi.advanceTimersByTime(100);
  lag.stop();
  await looks(1);
  lag.start();
  await looks(1);
  expect([lag.behindFor, told]).toEqual([undefined, [100]]);
  // Or does not.
  log.failure = true;
  vi.advanceTimersByTime(100);
  lag.stop();
  await looks(1);
  expect([lag.behindFor, told]).toEqual([undefined, [100]]);
});
