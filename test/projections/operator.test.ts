/** What operators do to generations of read models, on a real Postgres with instances that fold. */
import { describe, expect, test } from 'vitest';
import { accruals, type Desk, faults, openDesk, refused, strict } from './support/operating.ts';

const plantDifference = (desk: Desk) =>
  desk.pool.query(`update tallyback.accruals_1 set total = total + 1 where member = 'ann'`);

describe('a rebuild', () => {
  test('is verified, serves, and keeps what served before; the one before that is dropped', async () => {
    const desk = await openDesk();
    await desk.accrue('ann', 'GBP', [1n, 2n]);
    const projections = await desk.start();
    await desk.caughtUp(projections);
    expect(await desk.operator.rebuild(accruals, { dryRun: false }, 'olga')).toBe(2);
    const second = await desk.report(2, ({ state }) => state === 'serving');
    expect(second.report?.comparison).toMatchObject({ rows: { before: 1n, after: 1n }, differences: 0n });
    expect(second.report?.comparison?.checksum.before).toBe(second.report?.comparison?.checksum.after);
    expect(second).toMatchObject({ events: 2n, parked: 0n, failure: undefined, able: ['test-1'] });
    expect(second.finishedAt).toBeInstanceOf(Date);
    await desk.accrue('ann', 'GBP', [3n]);
    await desk.caughtUp(projections);
    expect(await desk.rows()).toEqual(['ann 6 GGG']);

    expect(await desk.operator.rebuild(accruals, { dryRun: false }, 'olga')).toBe(3);
    await desk.report(3, ({ state }) => state === 'serving');
    const all = await desk.operator.generations();
    expect(all.map(({ number, state }) => `${number} ${state}`)).toEqual(['2 kept', '3 serving']);
    expect(await desk.operator.generation('accruals', 1)).toMatchObject({ state: 'dropped' });
    expect(await desk.actions()).toEqual(['olga rebuild accruals/2', 'olga rebuild accruals/3']);
  });

  test('of what is being built already is refused; one that nobody works on can be cancelled later', async () => {
    const desk = await openDesk();
    await desk.operator.rebuild(accruals, { dryRun: false }, 'olga');
    await expect(desk.operator.rebuild(accruals, { dryRun: false }, 'olga')).rejects.toEqual(
      refused('NOT_NOW', /accruals\/2 is being built already \(loading\)/),
    );
    expect(await desk.operator.generation('accruals', 2)).toMatchObject({ owner: undefined, able: [] });
    await desk.operator.wish(accruals, 2, 'cancel', 'pit');
    await desk.start();
    await desk.report(2, ({ state }) => state === 'dropped');
    expect(await desk.actions()).toEqual(['olga rebuild accruals/2', 'pit cancel accruals/2']);
  });

  test('as a dry run says what differs, and changes nothing', async () => {
    const desk = await openDesk();
    await desk.accrue('ann', 'GBP', [1n]);
    await desk.accrue('bob', 'GBP', [1n]);
    await desk.caughtUp(await desk.start());
    await plantDifference(desk);
    await desk.operator.rebuild(accruals, { dryRun: true }, 'olga');
    const { report } = await desk.report(2, ({ state }) => state === 'dropped');
    expect(report?.comparison).toMatchObject({ rows: { before: 2n, after: 2n }, differences: 1n });
    expect(report?.comparison?.examples).toEqual([
      { key: '["ann"]', before: '(ann,2,G,1)', after: '(ann,1,G,1)' },
    ]);
    expect(await desk.rows()).toEqual(['ann 2 G', 'bob 1 G']);
    expect((await desk.operator.generations()).map(({ number }) => number)).toEqual([1]);
  });

  test('that differs waits, is accepted or cancelled; nothing else can be accepted', async () => {
    const desk = await openDesk();
    await desk.accrue('ann', 'GBP', [1n]);
    await desk.caughtUp(await desk.start());
    await plantDifference(desk);
    await desk.operator.rebuild(accruals, { dryRun: false }, 'olga');
    await desk.report(2, ({ stage }) => stage === 'differs');
    await desk.operator.wish(accruals, 2, 'cancel', 'olga');
    await desk.report(2, ({ state }) => state === 'dropped');
    expect(await desk.rows()).toEqual(['ann 2 G']);

    await desk.operator.rebuild(accruals, { dryRun: false }, 'olga');
    await desk.report(3, ({ stage }) => stage === 'differs');
    await desk.operator.accept(accruals, 3, 'olga');
    await desk.report(3, ({ state }) => state === 'serving');
    expect(await desk.rows()).toEqual(['ann 1 G']);
    await expect(desk.operator.accept(accruals, 3, 'olga')).rejects.toEqual(refused('NOT_NOW', /is serving/));
    await expect(desk.operator.accept(accruals, 2, 'olga')).rejects.toEqual(
      refused('NOT_FOUND', /no accruals\/2/),
    );
    expect(await desk.actions()).toEqual([
      'olga rebuild accruals/2',
      'olga cancel accruals/2',
      'olga rebuild accruals/3',
      'olga accept accruals/3',
    ]);
  });

  test('is paused where it is, and goes on from there', async () => {
    const desk = await openDesk();
    await desk.accrue(
      'ann',
      'GBP',
      Array.from({ length: 300 }, () => 1n),
    );
    // With what it has folded written at once: else it is at its end before that can be seen.
    await desk.start({ rebuildEventsPerSecond: 200, rebuildLimits: { gatheredRows: 1 } });
    await desk.operator.rebuild(accruals, { dryRun: false }, 'olga');
    await desk.report(2, ({ position }) => position.commit > 0n);
    await desk.operator.wish(accruals, 2, 'pause', 'olga');
    const paused = await desk.report(2, ({ owner }) => owner === undefined);
    expect(paused).toMatchObject({ state: 'building', stage: 'loading', wish: 'pause' });
    expect(paused.position.commit).toBeLessThan(300n);
    await expect(desk.operator.accept(accruals, 2, 'olga')).rejects.toEqual(refused('NOT_NOW', /is loading/));
    await desk.operator.wish(accruals, 2, 'run', 'olga');
    await desk.report(2, ({ state }) => state === 'serving');
    expect(await desk.rows()).toEqual([`ann 300 ${'G'.repeat(300)}`]);
    await expect(desk.operator.wish(accruals, 2, 'pause', 'olga')).rejects.toEqual(
      refused('NOT_NOW', /is not being built: it is serving/),
    );
  });

  test('is built by one that leads nothing else, and left to the others when it serves', async () => {
    const desk = await openDesk();
    await desk.accrue('ann', 'GBP', [1n, 2n]);
    const helper = await desk.start({ leads: ({ state }) => state === 'building' });
    await desk.operator.rebuild(accruals, { dryRun: false }, 'olga');
    // The other one has not been folded by anybody.
    await desk.report(2, ({ state }) => state === 'serving');
    await desk.report(2, ({ owner }) => owner === undefined);
    expect(helper.leading()).toEqual([]);
    const projections = await desk.start();
    await desk.accrue('ann', 'GBP', [4n]);
    await desk.caughtUp(projections);
    expect(await desk.rows()).toEqual(['ann 7 GGG']);
    expect(await desk.operator.generation('accruals', 2)).toMatchObject({ owner: 'test-2' });
  });

  test('of one that had stopped shows why; put right and resumed, it ends', async () => {
    const desk = await openDesk();
    await desk.accrue('ann', 'GBP', [1n]);
    const projections = await desk.start({ models: [strict] });
    await desk.report(1, ({ position }) => position.commit === 1n, 'strict');
    faults.rows.add('ann');
    await desk.operator.rebuild(strict, { dryRun: false }, 'olga');
    const failed = await desk.report(2, ({ failure }) => failure !== undefined, 'strict');
    expect(failed).toMatchObject({ state: 'building', stage: 'failed' });
    expect(failed.failure).toMatchObject({
      error: expect.stringContaining('no row for ann'),
      stack: expect.stringContaining('operating.ts'),
      at: { commit: 1n },
    });
    expect(projections.status().find(({ generation }) => generation === 2)?.name).toBe('strict');
    faults.heal();
    await desk.operator.wish(strict, 2, 'run', 'olga');
    await desk.report(2, ({ state }) => state === 'serving', 'strict');
  });
});

test('what has failed here is not held against this instance when another one leads it', async () => {
  const desk = await openDesk();
  await desk.accrue('ann', 'GBP', [1n]);
  faults.rows.add('ann');
  const rests = { beat: 30, lease: 3_000, afterFailure: 60_000, longestRetry: 20 };
  const first = await desk.start({ models: [strict], delays: rests });
  const stateIn = ({ status }: typeof first) => status().map(({ state }) => state);
  await expect.poll(() => stateIn(first), { timeout: 10_000 }).toEqual(['failed']);
  faults.heal();
  const second = await desk.start({ models: [strict], delays: rests });
  await expect.poll(() => stateIn(second), { timeout: 10_000 }).toEqual(['live']);
  await expect.poll(() => stateIn(first), { timeout: 10_000 }).toEqual(['standby']);
});

describe('a rollback', () => {
  test('has what was kept catch up and serve again, different as it may be', async () => {
    const desk = await openDesk();
    await desk.accrue('ann', 'GBP', [1n]);
    const projections = await desk.start();
    await desk.caughtUp(projections);
    await expect(desk.operator.rollback(accruals, 'olga')).rejects.toEqual(
      refused('NOT_FOUND', /nothing to go back/),
    );
    await plantDifference(desk);
    await desk.operator.rebuild(accruals, { dryRun: false }, 'olga');
    await desk.report(2, ({ stage }) => stage === 'differs');
    await expect(desk.operator.rollback(accruals, 'olga')).rejects.toEqual(refused('NOT_NOW', /accruals\/2/));
    await desk.operator.accept(accruals, 2, 'olga');
    await desk.report(2, ({ state }) => state === 'serving');
    await desk.accrue('ann', 'GBP', [5n]);
    await desk.caughtUp(projections);

    expect(await desk.operator.rollback(accruals, 'olga')).toBe(1);
    await desk.report(1, ({ state }) => state === 'serving');
    await desk.report(2, ({ state }) => state === 'kept');
    // The planted difference is back, and what has come since is there.
    expect(await desk.rows()).toEqual(['ann 7 GG']);
    await desk.accrue('ann', 'GBP', [1n]);
    await desk.caughtUp(projections);
    expect(await desk.rows()).toEqual(['ann 8 GGG']);
    expect((await desk.actions()).at(-1)).toBe('olga rollback accruals/1');
  });

  test('to a generation of another version is refused', async () => {
    const desk = await openDesk();
    await desk.pool.query(`update tallyback.generation set version = 2, state = 'kept'`);
    await expect(desk.operator.rollback(accruals, 'olga')).rejects.toEqual(
      refused('NOT_FOUND', /of version 2, and this release folds 1/),
    );
  });
});
