/** Servers, Postgres and the way between them fail at random; every promise holds all the same. */
import { expect, test } from 'vitest';
import { mischief } from './mischief.ts';
import { playRound } from './round.ts';
import { roundOptions, seeds } from './settings.ts';

for (const seed of seeds()) {
  const options = roundOptions(seed);
  // Whatever comes after the faults has bounds of its own, which leave less to guess than this one.
  const timeout = (options.seconds + 600) * 1_000;

  test(`seed ${seed}`, { timeout }, async () => {
    console.log(`CRASH_SEED=${seed} CRASH_SECONDS=${options.seconds} CRASH_ROUNDS=1`);
    const { violations, summary } = await playRound({ options, faults: mischief, losesLeader: true });
    console.log(summary);
    expect(violations, summary).toEqual([]);
  });
}
