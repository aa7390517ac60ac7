/** What instances tell each other by NOTIFY, over connections that break. */
import { getEventListeners } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import { openPool } from '../../src/operations/pool.ts';
import { systemTiming } from '../../src/projections/engine/edges.ts';
import { postgresSignals } from '../../src/projections/postgres/signals.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { until } from './support/house.ts';

async function open(connections: number) {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const pool = openPool(database.url, connections, () => undefined);
  onTestFinished(() => pool.end());
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const heard: string[] = [];
  const signals = postgresSignals(pool, systemTiming);
  /** Says something until it is heard. */
  const hears = async (message: string): Promise<void> =>
    until(async () => {
      await signals.tell(message).catch(() => undefined);
      return heard.includes(message);
    });
  return { pool, signals, stop, heard, hears };
}

test('who listens goes on after every break, and leaves nothing behind of the connections before', async () => {
  const { pool, signals, stop, heard, hears } = await open(3);
  signals.listen((message) => heard.push(message), stop.signal);
  await hears('before');
  for (let n = 0; n < 4; n++) {
    const { rowCount } = await pool.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and query like 'listen %'`,
    );
    expect(rowCount).toBe(1);
    await hears(`after ${n}`);
    expect(getEventListeners(stop.signal, 'abort')).toHaveLength(1);
  }
  stop.abort();
  await until(() => pool.totalCount - pool.idleCount === 0);
  const before = heard.length;
  await signals.tell('nobody is there');
  expect(heard).toHaveLength(before);
});

test('one who is told to stop while it waits for a connection does not keep the one it gets', async () => {
  const { pool, signals, stop } = await open(1);
  const other = await pool.connect();
  signals.listen(() => undefined, stop.signal);
  await until(() => pool.waitingCount === 1);
  stop.abort();
  other.release();
  await until(() => pool.waitingCount === 0);
  await pool.query('select');
});
