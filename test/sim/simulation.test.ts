import { describe, expect, test } from 'vitest';
import { check } from './check.ts';

describe('the projection engine, simulated', () => {
  test.each(Array.from({ length: 30 }, (_, n) => n + 1))('seed %i', async (seed) => {
    expect(await check(seed)).toBeUndefined();
  });
});
