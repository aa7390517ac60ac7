/**
 * Watches against a model: what any client's map is at the end is the table, and no message on the way breaks a
 * promise, whatever becomes of connections, servers and read models. WATCH_SEEDS (a list) and WATCH_SECONDS make it
 * longer: `npm run test:watches`.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { type ServedStore, servedStores } from '../support/served-stores.ts';
import { playRound } from './round.ts';

const seconds = Number(process.env['WATCH_SECONDS'] ?? 3);
const anySeed = Math.floor(Math.random() * 1e9);
const seeds = process.env['WATCH_SEEDS']?.split(',').map(Number);

let store: ServedStore | undefined;
afterEach(() => store?.stop());

describe.each(servedStores)('on $name', ({ name, start }) => {
  // In the short form one log gets the same seed every time, and the others another one.
  const chosen = seeds ?? [name === servedStores[0]?.name ? 1 : anySeed];
  test.each(chosen)('seed %i', { timeout: (seconds + 60) * 1_000 }, async (seed) => {
    console.log(`watches on ${name}: WATCH_SEEDS=${seed} WATCH_SECONDS=${seconds}`);
    store = await start();
    const { journal, commands, messages } = await playRound(store, { seed, seconds, watchers: 2 });
    const faults = [...journal.faults].map(([what, times]) => `${what} ${times}`).join(', ');
    console.log(`${commands} commands, ${messages} messages; ${faults}`);
    expect(journal.violations, `seed ${seed}\n${journal.text()}`).toEqual([]);
  });
});
