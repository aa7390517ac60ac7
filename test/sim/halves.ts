/**
 * Many seeds, half of them on each of two cores. `SIM_SEEDS` says how many (1,000), `SIM_FROM` from which on (1): with
 * both, a seed that failed is run again alone.
 */
import { expect, test } from 'vitest';
import { check } from './check.ts';

const seeds = Number(process.env['SIM_SEEDS'] ?? 1_000);
const from = Number(process.env['SIM_FROM'] ?? 1);

export function runHalf(half: 0 | 1): void {
  test(`seeds from ${from} on, ${seeds} of them: half ${half + 1}`, async () => {
    const startedAt = performance.now();
    let done = 0;
    const found: string[] = [];
    // A few tell more than one; many tell no more than a few.
    for (let seed = from; seed < from + seeds && found.length < 5; seed++) {
      if (seed % 2 !== half) continue;
      const wrong = await check(seed);
      if (wrong !== undefined) found.push(wrong);
      done++;
    }
    const seconds = (performance.now() - startedAt) / 1_000;
    console.log(`${done} seeds, ${(done / seconds).toFixed(1)} a second`);
    expect(found).toEqual([]);
  });
}
