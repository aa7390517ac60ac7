/** What goes through a whole table may take longer than a statement is otherwise allowed to. */
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import * as rebuilds from '../../src/projections/postgres/rebuilds.ts';
import { accruals, openDesk } from './support/operating.ts';

test('comparing and indexing wait for their tables as long as it takes', async () => {
  const desk = await openDesk();
  await desk.accrue('ann', 'GBP', [1n]);
  await desk.operator.rebuild(accruals, { dryRun: false }, 'olga');
  const generation = await desk.operator.generation('accruals', 2);
  if (!generation) throw new Error('there is no generation 2');
  const hurried = new pg.Pool({ connectionString: desk.url, query_timeout: 300 });
  onTestFinished(() => hurried.end());
  const holder = await desk.pool.connect();
  await holder.query('begin; lock table tallyback.accruals_2');
  const compared = rebuilds.compare(hurried, accruals, generation);
  const indexed = rebuilds.index(hurried, accruals, generation);
  await expect(hurried.query('select count(*) from tallyback.accruals_2')).rejects.toThrow('timeout');
  await holder.query('commit');
  holder.release();
  expect(await compared).toMatchObject({ differences: 0n });
  await indexed;
});
