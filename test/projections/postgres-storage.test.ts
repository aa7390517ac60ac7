import { onTestFinished } from 'vitest';
import type { ProjectionStorage } from '../../src/projections/engine/storage.ts';
import { makeGeneration } from '../../src/projections/postgres/schema.ts';
import { postgresStorage } from '../../src/projections/postgres/storage.ts';
import { inTransaction } from '../../src/projections/postgres/transaction.ts';
import { openPool } from '../../src/operations/pool.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { storageContract } from './storage-contract.ts';

storageContract('Postgres', async () => {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const pool = openPool(database.url, 10, () => undefined);
  onTestFinished(() => pool.end());
  const open = (id: string): ProjectionStorage =>
    postgresStorage({ pool, store: { id, origin: undefined }, log: () => undefined });
  return {
    storage: open('the-log'),
    strayed: open('another-log'),
    pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    rebuild: (model) =>
      inTransaction(pool, async (client) => {
        await makeGeneration(client, model, { state: 'building' });
      }),
    async tamper({ table }, [member], row) {
      if (row) {
        await pool.query(`update tallyback.${table} set amount = $2, note = $3 where member = $1`, [
          member,
          String(row.amount),
          row.note,
        ]);
      } else await pool.query(`delete from tallyback.${table} where member = $1`, [member]);
    },
  };
});
