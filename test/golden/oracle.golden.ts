/** The oracle proves itself on the published figures before anything is measured by it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { figures } from './oracle.ts';
import { golden, readRows, there } from './real-year.ts';

describe.runIf(there)('the oracle', () => {
  test('gives the published figures for the published rules', () => {
    const ours = figures(readRows(), { bps: 500n, holdDays: 30, withdrawMonthly: 1_000n });
    for (const [name, text] of Object.entries(ours)) {
      expect(text === readFileSync(join(golden, name), 'utf8'), name).toBe(true);
    }
  });
});
