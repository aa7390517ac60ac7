/** Live reads: how fast, to how many, at what price. `BENCH_WATCHES` names parts of it. */
import type { Result } from '../result.ts';
import { fanOut } from './fan-out.ts';
import { idle } from './idle.ts';
import { latency } from './latency.ts';
import { stalled } from './stalled.ts';

const parts: Readonly<Record<string, () => Promise<Result[]>>> = {
  // A thousand orders a second are more than two cores take (`npm run bench -- commands`).
  latency: () =>
    latency(2, 5, [
      { perSecond: 50, kinds: ['adjustment', 'order of one line'] },
      { perSecond: 200, kinds: ['adjustment', 'order of one line', 'order of three lines'] },
      { perSecond: 1_000, kinds: ['adjustment'] },
    ]),
  'fan-out': () => fanOut(5, 50),
  // With those that are open before, as many as a server takes.
  idle: () => idle(2, 9_900),
  stalled: () => stalled(5, 5, 20),
};

export async function watches(): Promise<Result[]> {
  const chosen = process.env['BENCH_WATCHES']?.split(',') ?? Object.keys(parts);
  const results: Result[] = [];
  for (const name of chosen) {
    const part = parts[name];
    if (!part) throw new Error(`there is no part ${name}; there are ${Object.keys(parts).join(', ')}`);
    results.push(...(await part()));
  }
  return results;
}
