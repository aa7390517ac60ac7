/** What operators do to parked events, on a real Postgres with instances that fold. */
import { describe, expect, test } from 'vitest';
import { accruals, faults, openDesk, refused, streamOf } from './support/operating.ts';

const ann = 'row:["ann"]';

describe('what is parked', () => {
  test('in a row is shown, refused while it fails, and folded in order while others go on', async () => {
    const desk = await openDesk();
    const projections = await desk.start();
    await desk.accrue('ann', 'GBP', [1n]);
    await desk.caughtUp(projections);
    faults.rows.add('ann');
    await desk.accrue('ann', 'EUR', [2n]);
    await desk.accrue('bob', 'GBP', [4n]);
    await desk.accrue('ann', 'GBP', [8n]);
    await desk.caughtUp(projections);
    expect(await desk.rows()).toEqual(['ann 1 G', 'bob 4 G']);

    const [scope, ...others] = await desk.operator.parked(accruals);
    expect(others).toEqual([]);
    expect(scope).toMatchObject({ model: 'accruals', generation: 1, scope: ann, events: 2n });
    expect(scope?.first).toMatchObject({ stream: streamOf('ann', 'EUR'), revision: 0 });
    expect(scope?.first.error).toContain('no row for ann');
    expect(scope?.first.stack).toContain('operating.ts');
    const events = await desk.operator.parkedEvents(accruals, 1, ann);
    expect(events.map(({ stream, error }) => [stream, error === undefined])).toEqual([
      [streamOf('ann', 'EUR'), false],
      [streamOf('ann', 'GBP'), true],
    ]);
    expect(await desk.operator.generation('accruals', 1)).toMatchObject({ parked: 2n });

    await expect(desk.operator.retryParked(accruals, ann, 'olga')).rejects.toEqual(
      refused('STILL_FAILS', /event 0 of account-ann-EUR, still fails: no row for ann/),
    );
    expect(await desk.operator.parked()).toHaveLength(1);
    faults.heal();
    expect(await desk.operator.retryParked(accruals, ann, 'olga')).toBe(2);
    expect(await desk.rows()).toEqual(['ann 11 GEG', 'bob 4 G']);
    expect(await desk.operator.parked()).toEqual([]);
    // The leader has forgotten what it knew of the row.
    await desk.accrue('ann', 'EUR', [16n]);
    await desk.caughtUp(projections);
    expect(await desk.rows()).toEqual(['ann 27 GEGE', 'bob 4 G']);
    await expect(desk.operator.retryParked(accruals, ann, 'olga')).rejects.toEqual(
      refused('NOT_FOUND', /nothing/),
    );
    expect(await desk.actions()).toEqual([`olga retry-parked accruals/1 ${ann}`]);
  });

  test('when folded leaves nothing that a rebuild would not make, and starts watches again', async () => {
    const desk = await openDesk();
    const projections = await desk.start();
    faults.rows.add('ann').add('bob');
    await desk.accrue('ann', 'GBP', [1n, 2n]);
    await desk.accrue('bob', 'GBP', [1n]);
    await desk.freeze('bob', 'GBP');
    await desk.accrue('cid', 'GBP', [1n]);
    await desk.caughtUp(projections);
    const before = await desk.operator.generation('accruals', 1);
    faults.heal();
    await desk.operator.retryParked(accruals, ann, 'olga');
    await desk.operator.retryParked(accruals, 'row:["bob"]', 'olga');
    const after = await desk.operator.generation('accruals', 1);
    expect(after?.incarnation).toBe((before?.incarnation ?? 0) + 2);
    await desk.operator.rebuild(accruals, { dryRun: true }, 'olga');
    const { report } = await desk.report(2, ({ state }) => state === 'dropped');
    expect(report?.comparison).toMatchObject({ rows: { before: 2n, after: 2n }, differences: 0n });
  });

  test('of a stream goes to all its rows, except to those that are parked themselves, where it waits', async () => {
    const desk = await openDesk();
    const projections = await desk.start();
    const euros = `stream:${streamOf('ann', 'EUR')}`;
    await desk.accrue('bob', 'GBP', [1n]);
    faults.streams.add(streamOf('ann', 'EUR'));
    await desk.accrue('ann', 'EUR', [1n, 2n]);
    await desk.caughtUp(projections);
    faults.rows.add('ann');
    await desk.accrue('ann', 'GBP', [4n]);
    await desk.caughtUp(projections);
    expect((await desk.operator.parked()).map(({ scope, events }) => [scope, events])).toEqual([
      [ann, 1n],
      [euros, 2n],
    ]);
    faults.heal();
    expect(await desk.operator.retryParked(accruals, euros, 'olga')).toBe(2);
    expect(await desk.rows()).toEqual(['bob 1 G']);
    expect(await desk.operator.parked()).toMatchObject([{ scope: ann, events: 3n }]);
    expect(await desk.operator.retryParked(accruals, ann, 'olga')).toBe(3);
    expect(await desk.rows()).toEqual(['ann 7 EEG', 'bob 1 G']);
  });

  test('can be left out for good; what comes is folded', async () => {
    const desk = await openDesk();
    const projections = await desk.start();
    faults.rows.add('ann');
    await desk.accrue('ann', 'GBP', [1n, 2n]);
    await desk.caughtUp(projections);
    faults.heal();
    await desk.accrue('ann', 'GBP', [4n]);
    await desk.caughtUp(projections);
    expect(await desk.rows()).toEqual([]);
    expect(await desk.operator.dropParked(accruals, ann, 'olga')).toBe(3);
    await desk.accrue('ann', 'GBP', [8n]);
    await desk.caughtUp(projections);
    expect(await desk.rows()).toEqual(['ann 8 G']);
    expect(await desk.actions()).toEqual([`olga drop-parked accruals/1 ${ann}`]);
  });

  test('is folded without losing or doubling anything while the leader writes', async () => {
    const desk = await openDesk();
    const projections = await desk.start({ limits: { maxEvents: 3 } });
    for (let round = 0; round < 8; round++) {
      faults.rows.add('ann');
      await desk.accrue('ann', 'GBP', [1n, 1n]);
      await desk.caughtUp(projections);
      faults.heal();
      const writing = (async () => {
        for (let n = 0; n < 10; n++) await desk.accrue(n % 2 ? 'ann' : 'bob', 'GBP', [1n]);
      })();
      await desk.operator.retryParked(accruals, ann, 'olga');
      await writing;
      await desk.caughtUp(projections);
      // What came before the retry is folded by it, what came after by the leader.
      expect(await desk.rows()).toEqual([
        `ann ${7 * (round + 1)} ${'G'.repeat(7 * (round + 1))}`,
        `bob ${5 * (round + 1)} ${'G'.repeat(5 * (round + 1))}`,
      ]);
    }
  });
});
