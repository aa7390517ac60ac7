import { describe, expect, test } from 'vitest';
import { check } from './check.ts';
import { run } from './run.ts';

// A few seeds of the many that `npm run test:sim` runs.
describe('the engine on simulated machines', () => {
  test.each(Array.from({ length: 30 }, (_, n) => n + 1))('seed %i', async (seed) => {
    expect(await check(seed)).toBeUndefined();
  });

  test('the same seed is the same run', async () => {
    const [first, second] = [await run(7), await run(7)];
    expect(second.lines).toEqual(first.lines);
    expect(second.steps).toBe(first.steps);
  });
});
