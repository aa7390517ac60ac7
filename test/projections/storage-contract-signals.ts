import { describe, expect, onTestFinished, test } from 'vitest';
import type { OpenedStorage } from './storage-contract.ts';
import { until } from './support/house.ts';

export function signalsContract(open: () => Promise<OpenedStorage>): void {
  describe('signals', () => {
    test('what one tells, all hear who listen, until they stop', async () => {
      const { storage } = await open();
      const [one, other] = [[], []] as [string[], string[]];
      const stops = [one, other].map((heard) => {
        const stop = new AbortController();
        onTestFinished(() => stop.abort());
        storage.signals.listen((message) => heard.push(message), stop.signal);
        return stop;
      });
      const hears = async (message: string, all: readonly string[][]): Promise<void> => {
        // One who has only just begun may miss what is told.
        await until(async () => {
          await storage.signals.tell(message);
          return all.every((heard) => heard.includes(message));
        });
      };
      await hears('"first", it said', [one, other]);
      stops[0]?.abort();
      const before = one.length;
      await hears('second', [other]);
      expect(one.slice(before)).toEqual([]);
    });
  });
}
