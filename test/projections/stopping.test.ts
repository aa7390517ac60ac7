/** Read models that stop before what they cannot fold. */
import type pg from 'pg';
import { expect, test } from 'vitest';
import { logStart } from '../../src/eventstore/port.ts';
import { stock } from '../../src/projections/index.ts';
import { caughtUp, openHouse, until } from './support/house.ts';
import { someHistory } from './support/history.ts';
import { brittle, mended, tally } from './support/tally.ts';

const stopping = { ...brittle, onFailure: 'stop' } as const;

/** The checkpoint as operators see it: the failure counts as long as nobody has claimed it since. */
async function reported(pool: pg.Pool): Promise<unknown> {
  const { rows } = await pool.query(
    `select position, case when failed_epoch = epoch then error end as error,
       case when failed_epoch = epoch then stack end as stack, failed_at_position as at
     from tallyback.checkpoint where name = 'projection:brittle/1'`,
  );
  return rows[0];
}

test('a fold that throws stops its read model before the event, and no other', async () => {
  const { pool, store, historian, start, dump, lines } = await openHouse();
  const projections = await start({ models: [stopping, stock] });
  const history = someHistory(200, 6);
  const at = history.findIndex((one) => one.event.type === 'ReturnTaken');
  await historian.append(history);
  await until(() => projections.status()[0]?.state === 'failed');
  await caughtUp(projections, store, [stock]);

  const failedAt = { commit: BigInt(at + 1), prepare: BigInt(at + 1) };
  const last = { commit: BigInt(at), prepare: BigInt(at) };
  expect(projections.status()).toMatchObject([
    { name: 'brittle', state: 'failed', failedAt, position: last },
    { name: 'stock', state: 'live' },
  ]);
  expect(projections.status()[0]?.error).toContain('no returns, please');
  expect(lines.join('\n')).toContain('brittle/1 has stopped');
  // Seen from outside, too, with where it was thrown.
  const error = projections.status()[0]?.error;
  await expect
    .poll(() => reported(pool))
    .toMatchObject({
      position: `${at}/${at}`,
      error,
      stack: expect.stringContaining('tally.ts'),
      at: `${at + 1}/${at + 1}`,
    });
  expect((await pool.query('select from tallyback.parked_event')).rowCount).toBe(0);

  // Mended, it goes on where it stood.
  await projections.stop();
  const models = [{ ...mended, onFailure: 'stop' } as const, tally];
  const again = await start({ models });
  await caughtUp(again, store, models);
  expect((await dump([mended])).replace('brittle', 'tally')).toBe(await dump([tally]));
  expect(await reported(pool)).toMatchObject({ error: null });
});

test('an instance whose fold is put right takes over from one that has failed, beside it', async () => {
  const { pool, store, historian, start, dump, lines } = await openHouse();
  await historian.append(someHistory(200, 6));
  const failing = await start({ models: [stopping] });
  await until(() => failing.status()[0]?.state === 'failed');
  const models = [{ ...mended, onFailure: 'stop' } as const, tally];
  const able = await start({ models });
  await caughtUp(able, store, models);
  expect((await dump([mended])).replace('brittle', 'tally')).toBe(await dump([tally]));
  expect(await reported(pool)).toMatchObject({ error: null });
  // The other one rests: it has stopped once.
  expect(lines.filter((line) => line.includes('brittle/1 has stopped'))).toHaveLength(1);
});

test('it is tried again later, by the same instance, and goes on if it can', async () => {
  const { store, historian, start, dump, lines } = await openHouse();
  let holds = true;
  const passing = {
    ...stopping,
    fold: (...args: Parameters<typeof stopping.fold>) => (holds ? stopping : mended).fold(...args),
  };
  await historian.append(someHistory(200, 6));
  const models = [passing, tally];
  const projections = await start({ models, delays: { afterFailure: 200 } });
  const stops = (): number => lines.filter((line) => line.includes('brittle/1 has stopped')).length;
  await until(() => stops() >= 2);
  const position = projections.status()[0]?.position;
  expect(position).not.toEqual(logStart);
  holds = false;
  await caughtUp(projections, store, models);
  expect((await dump([passing])).replace('brittle', 'tally')).toBe(await dump([tally]));
});
