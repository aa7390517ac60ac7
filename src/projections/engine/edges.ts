/** The real clock, chance and timers: the only ones in this folder. */
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import type { Timing } from './timing.ts';

export const systemTiming: Timing = {
  sleep: (ms, signal) => delay(ms, undefined, signal ? { signal } : {}).catch(() => undefined),
  random: () => Math.random(),
  monotonic: () => performance.now(),
  turn: () => nextTurn(),
};
