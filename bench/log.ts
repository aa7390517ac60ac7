/** The log by itself: appends against bare group-commit inserts. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { type EventStore, noStream } from '../src/eventstore/port.ts';
import { openPostgresEventStore } from '../src/eventstore/postgres/postgres-event-store.ts';
import { startPostgres } from '../src/operations/postgres/index.ts';
import { accrual, streamOf } from './accruals.ts';
import { closedLoop, median } from './measure.ts';
import type { Result } from './result.ts';

const inFlight = 256;

async function appendRate(store: EventStore, seconds: number): Promise<number> {
  const run = randomUUID();
  const { perSecond } = await closedLoop(seconds, inFlight, (n) =>
    store.append(streamOf(`${run}-${n}`), noStream, [accrual('m', n)]),
  );
  return perSecond;
}

/** What Postgres takes when one statement commits as many rows as would wait, and nothing is checked. */
async function bareRate(url: string, seconds: number): Promise<number> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query(`create table if not exists bare (position bigint generated always as identity primary key,
    stream text, revision bigint, id uuid, type text, data text, metadata text, unique (stream, revision), unique (id))`);
  let rows = 0;
  const end = performance.now() + seconds * 1_000;
  const start = performance.now();
  while (performance.now() < end) {
    const events = Array.from({ length: inFlight }, (_, n) => accrual('m', n));
    const columns = [
      events.map(() => `account-${randomUUID()}`),
      ...(['id', 'type', 'data', 'metadata'] as const).map((k) => events.map((e) => e[k])),
    ];
    await client.query({
      name: 'bare',
      text: `insert into bare (stream, revision, id, type, data, metadata)
             select s, 0, i::uuid, t, d, m from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) as x(s, i, t, d, m)`,
      values: columns,
    });
    rows += events.length;
  }
  const perSecond = rows / ((performance.now() - start) / 1_000);
  await client.query('drop table bare');
  await client.end();
  return perSecond;
}

export async function log(seconds: number): Promise<Result[]> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tallyback-bench-'));
  const postgres = await startPostgres({ dataDir });
  try {
    const store = await openPostgresEventStore({ connectionString: postgres.url });
    const pairs: [number, number][] = [];
    for (let round = 0; round < 3; round++) {
      pairs.push([await appendRate(store, seconds), await bareRate(postgres.url, seconds)]);
    }
    await store.close();
    return [
      {
        name: `appends of one event, ${inFlight} in flight`,
        value: median(pairs.map(([a]) => a)),
        unit: 'events/s',
        peer: {
          name: `bare inserts of ${inFlight} rows a commit`,
          value: median(pairs.map(([, b]) => b)),
          unit: 'rows/s',
        },
      },
    ];
  } finally {
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}
