/** Servers, Postgres and the way between them fail at random; every promise holds all the same. */
import { expect, test } from 'vitest';
import { mischief } from './mischief.ts';
import { playRound } from './round.ts';
import { roundOptions, seeds } from './settings.ts';

test.each(seeds())('seed %i', async (seed) => {
  const options = roundOptions(seed);
  console.log(`CRASH_SEED=${seed} CRASH_SECONDS=${options.seconds} CRASH_ROUNDS=1`);
  const { violations, summary } = await playRound({ options, faults: mischief });
  console.log(summary);
  expect(violations, summary).toEqual([]);
});
