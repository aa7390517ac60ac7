import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { postgresRefusedRecords } from '../../src/application/refused-records-postgres.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

let database: TestDatabase;
let pool: pg.Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  pool = new pg.Pool({ connectionString: database.url, max: 4 });
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

const record = (n: number, reason = 'INVALID_RECORD') => ({
  reason,
  message: `wrong {"\\'} \0 ${n}`,
  field: 'lines[0].sku',
  record: Buffer.from([n, 0, 255, 92, 34]),
});

test('records are kept once, counted, and listed oldest first', async () => {
  // Two processes that start at once.
  const [refused, other] = [postgresRefusedRecords(pool), postgresRefusedRecords(pool)];
  await Promise.all([refused.keep(record(1)), other.keep(record(1)), refused.keep(record(1))]);
  await refused.keep(record(2));
  await refused.keep(record(2, 'MALFORMED_RECORD'));
  const { records, next } = await refused.list({ limit: 10 });
  expect(next).toBeUndefined();
  expect(records.map(({ reason, times, record: bytes }) => [reason, times, bytes[0]])).toEqual([
    ['INVALID_RECORD', 3n, 1],
    ['INVALID_RECORD', 1n, 2],
    ['MALFORMED_RECORD', 1n, 2],
  ]);
  expect(records[0]).toMatchObject({
    message: 'wrong {"\\\'} \uFFFD 1',
    field: 'lines[0].sku',
    receivedAt: expect.any(Date),
  });
  expect(Buffer.from(records[0]?.record ?? [])).toEqual(record(1).record);

  const first = await refused.list({ limit: 1, reason: 'INVALID_RECORD' });
  expect(first.next).toBe(records[0]?.id);
  const second = await refused.list({ limit: 1, reason: 'INVALID_RECORD', after: first.next });
  expect(second).toMatchObject({ records: [{ id: records[1]?.id }], next: undefined });
});

test('records that come together share a transaction', async () => {
  const refused = postgresRefusedRecords(pool);
  await refused.list({ limit: 1 });
  // Rows know the transaction that wrote them.
  const transactions = async (): Promise<number> => {
    const { rows } = await pool.query<{ n: number }>(
      'SELECT count(DISTINCT xmin::text)::int AS n FROM tallyback.refused_record',
    );
    return rows[0]?.n ?? 0;
  };
  const before = await transactions();
  await Promise.all(
    Array.from({ length: 600 }, (_, n) => refused.keep({ ...record(3), record: Buffer.from(`r${n}`) })),
  );
  const written = (await transactions()) - before;
  expect(written).toBeGreaterThan(0);
  expect(written).toBeLessThan(10);
  expect((await refused.list({ limit: 1_000 })).records).toHaveLength(603);
});

test('records that cannot be kept are told so', async () => {
  const closed = new pg.Pool({ connectionString: database.url });
  await closed.end();
  await expect(postgresRefusedRecords(closed).keep(record(1))).rejects.toThrow(
    'Cannot use a pool after calling end',
  );
});
