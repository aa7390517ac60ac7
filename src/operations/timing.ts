/** The real clock, chance and timers. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';

export const systemTiming = {
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await delay(ms, undefined, signal ? { signal } : {}).catch(() => undefined);
  },
  random: (): number => Math.random(),
  monotonic: (): number => performance.now(),
};

export const systemClock = (): Date => new Date();

/** Another one every time a process starts; tells people where it runs. */
export const instanceId = (): string => `${hostname()}/${process.pid}/${randomUUID().slice(0, 8)}`;
