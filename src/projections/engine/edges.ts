/** The real clock, chance and timers: the only ones in this folder. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { pause } from '../../eventstore/edges.ts';
import type { Timing } from './timing.ts';

export const systemTiming: Timing = {
  sleep: pause,
  random: () => Math.random(),
  monotonic: () => performance.now(),
  turn: () => nextTurn(),
};
