/** The real clock, chance and timers. */
import { setTimeout as delay } from 'node:timers/promises';

export const systemTiming = {
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await delay(ms, undefined, signal ? { signal } : {}).catch(() => undefined);
  },
  random: (): number => Math.random(),
  monotonic: (): number => performance.now(),
};

export const systemClock = (): Date => new Date();
