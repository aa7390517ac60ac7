/** The model finds what it is there to find: bugs that are put into the servers. */
import { afterEach, expect, test, vi } from 'vitest';
import { ChangeEncoder } from '../../src/api/watch/change-encoder.ts';
import { FilterIndex } from '../../src/api/watch/filter-index.ts';
import * as messages from '../../src/api/watch/messages.ts';
import { Sender } from '../../src/api/watch/sender.ts';
import { servedStores } from '../support/served-stores.ts';
import { playRound } from './round.ts';

const planted = vi.hoisted(() => ({ noReset: false }));

vi.mock(import('../../src/projections/engine/storage.ts'), async (original) => {
  const storage = await original();
  return {
    ...storage,
    incarnationOf: (...of: Parameters<typeof storage.incarnationOf>) =>
      planted.noReset ? 'always the same' : storage.incarnationOf(...of),
  };
});

afterEach(() => {
  planted.noReset = false;
  vi.restoreAllMocks();
});

function tokenFirst(): void {
  const { sendAll } = Sender.prototype;
  vi.spyOn(Sender.prototype, 'sendAll').mockImplementation(async function (
    this: Sender,
    events,
    through,
    ...rest
  ) {
    if (through && events.length > 0) await this.send(messages.heartbeat(1_000), through);
    await sendAll.call(this, events, through, ...rest);
  });
}

function noRemovals(): void {
  const { encode } = ChangeEncoder.prototype;
  vi.spyOn(ChangeEncoder.prototype, 'encode').mockImplementation(function (
    this: InstanceType<typeof ChangeEncoder>,
    rows,
    sees,
  ) {
    return encode.call(this, rows.filter(sees), sees);
  });
}

function someNotFound(): void {
  const { candidates } = FilterIndex.prototype;
  let rows = 0;
  vi.spyOn(FilterIndex.prototype, 'candidates').mockImplementation(function (
    this: InstanceType<typeof FilterIndex>,
    row,
  ) {
    return ++rows % 10 > 0 ? candidates.call(this, row) : [];
  });
}

function noReset(): void {
  planted.noReset = true;
}

test.each([
  {
    bug: 'a resume token before the changes that it covers',
    plant: tokenFirst,
    shows: /though all up to \d+ is said/,
  },
  { bug: 'no removals', plant: noRemovals, shows: /, not undefined|not as of/ },
  {
    bug: 'a change that the index does not find',
    plant: someNotFound,
    shows: /though all up to \d+ is said|missing|, not \{/,
  },
  { bug: 'no Reset after a swap', plant: noReset, shows: /, not \{/ },
])('$bug', { timeout: 180_000 }, async ({ bug, plant, shows }) => {
  plant();
  const [embedded] = servedStores;
  const found: string[] = [];
  for (const seed of [1, 2, 3]) {
    const store = await embedded?.start();
    if (!store) throw new Error('no store');
    const { journal } = await playRound(store, { seed, seconds: 5, watchers: 2, patienceMs: 5_000 });
    await store.stop();
    const [first] = journal.violations.filter((what) => shows.test(what));
    console.log(`${bug}: seed ${seed}: ${first ?? 'not found'} (of ${journal.violations.length})`);
    if (first !== undefined) found.push(first);
  }
  expect(found.length).toBeGreaterThan(0);
});
