/** Whoever builds dies, at every call it makes in turn: another one finishes, and everything is there once. */
import { expect, test, vi } from 'vitest';
import { startProjections } from '../../src/projections/engine/engine.ts';
import type { ProjectionStorage } from '../../src/projections/engine/storage.ts';
import { around, hanging } from './support/around.ts';
import { event } from './support/events.ts';
import { caughtUp, newInstance, openHouse, quick, serves, until } from './support/house.ts';
import { someHistory } from './support/history.ts';
import { tally } from './support/tally.ts';

vi.setConfig({ testTimeout: 600_000 });

const models = [tally];
/** What it does that is not only to look, or to live. */
const deeds = new Set<keyof ProjectionStorage>([
  'claim',
  'parkedScopes',
  'load',
  'write',
  'move',
  'setStage',
  'index',
  'compare',
  'freeze',
  'swap',
]);

/** Rows are in memory, and nothing may be left to pass over, as it comes. */
const sometimes = new Set<keyof ProjectionStorage>(['load', 'move']);

test.each(['before it is done', 'after it is done, unheard'])(
  'a builder dies at every call, %s',
  async (when) => {
    const house = await openHouse();
    // The last ones concern nobody: they are only passed over.
    const refused = Array.from({ length: 45 }, () => ({
      stream: 'account-x',
      event: event('CommandRefused'),
    }));
    await house.historian.append([...someHistory(60, 41), ...refused]);
    const first = await house.start({ models });
    await caughtUp(first, house.store, models);
    await first.stop();
    const before = await house.dump(models);
    const died: string[] = [];

    /** Dies at a call; answers whether it has lived to the end. */
    const round = async (diesAt: (method: keyof ProjectionStorage) => boolean): Promise<boolean> => {
      const [number] = await house.askForRebuild(models);
      let isDead = false;
      const storage = around(house.storage(), async (method, _, call) => {
        if (isDead) return hanging();
        const dies = diesAt(method);
        if (dies) died.push(method);
        if (dies && when.startsWith('before')) {
          isDead = true;
          return hanging();
        }
        const answer = await call();
        // What was under way when it died is not heard of either.
        if (dies) isDead = true;
        return isDead ? hanging() : answer;
      });
      const builder = await startProjections({
        store: house.store,
        storage,
        models,
        instance: newInstance(),
        log: () => undefined,
        limits: { maxEvents: 40 },
        rebuildLimits: { maxEvents: 40 },
        delays: { ...quick, beat: 20, lease: 400 },
      });
      await until(() => isDead || serves(builder, tally) === number);
      const lived = !isDead;
      if (lived) await builder.stop();
      // The connection on which it listened would be missing in the end.
      else builder.progress.close();
      const survivor = await house.start({ models, delays: { beat: 20 } });
      await until(() => serves(survivor, tally) === number);
      await caughtUp(survivor, house.store, models);
      await survivor.stop();
      expect(await house.dump(models), `died at ${died.at(-1)}`).toBe(before);
      const { rows } = await house.pool.query(
        `select state, count(*)::int as n from tallyback.generation where state in ('serving', 'building') group by 1`,
      );
      expect(rows).toEqual([{ state: 'serving', n: 1 }]);
      return lived;
    };
    for (let n = 1, alive = false; !alive; n++) {
      let calls = 0;
      alive = await round((method) => deeds.has(method) && ++calls === n);
    }
    // What fell through, because it does not always make as many calls.
    for (const deed of deeds) {
      if (!sometimes.has(deed) && !died.includes(deed)) await round((method) => method === deed);
    }
    // It has died in all stages.
    for (const deed of deeds) if (!sometimes.has(deed)) expect(died).toContain(deed);
  },
);
