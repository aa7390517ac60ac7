/** The simulation is worth what it finds: mistakes put in on purpose must show within a few seeds. */
import { describe, expect, test } from 'vitest';
import type { PlantedBug } from './options.ts';
import { run } from './run.ts';

/** Violations of the first seed that has any. */
async function firstFound(bug: PlantedBug): Promise<readonly string[]> {
  for (let seed = 1; seed <= 40; seed++) {
    const { violations } = await run(seed, {}, bug);
    if (violations.length > 0) return violations;
  }
  return [];
}

describe('the simulation finds', () => {
  test.each<readonly [PlantedBug, string, RegExp]>([
    ['no-fencing', 'a database that lets everybody write', /was moved by|went back|must be/],
    ['any-position', 'a database that does not compare positions', /went back|must be/],
    ['any-epoch', 'a database that does not compare epochs', /was moved by/],
    ['same-epoch', 'a claim that does not raise the epoch', /was moved by/],
    ['two-steps', 'a checkpoint that is moved before its rows are stored', /must be/],
    ['credulous', 'a hint that is taken for what it hints at', /is said to have reached/],
    ['deaf', 'a bell that is not heard, and no look now and then', /without faults/],
  ])('%s: %s', async (bug, _, what) => {
    expect(await firstFound(bug)).toContainEqual(expect.stringMatching(what));
  });
});
