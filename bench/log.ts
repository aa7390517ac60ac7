/** The log by itself: appends against bare group-commit inserts, and replay against reading and parsing. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { encodeEvent } from '../src/domain/codec.ts';
import type { DomainEvent } from '../src/domain/events.ts';
import { accountStream } from '../src/domain/streams.ts';
import { type EventStore, logStart, type NewEvent, noStream } from '../src/eventstore/port.ts';
import { openPostgresEventStore } from '../src/eventstore/postgres/postgres-event-store.ts';
import { RebateAccrued, RebateCause } from '../src/gen/tallyback/events/v1/account.ts';
import { ReleaseOn } from '../src/gen/tallyback/events/v1/programme.ts';
import { startPostgres } from '../src/operations/postgres/index.ts';
import { startProjections } from '../src/projections/engine/engine.ts';
import { checkpointName } from '../src/projections/engine/storage.ts';
import { balance } from '../src/projections/index.ts';
import { postgresStorage } from '../src/projections/postgres/storage.ts';
import { closedLoop, median } from './measure.ts';
import type { Result } from './result.ts';

const inFlight = 256;

/** An accrual of one line, as an order of one line gives. */
function accrual(member: string, n: number): NewEvent {
  const amount = 100n;
  const at = new Date(Date.UTC(2026, 0, 1) + n * 1_000);
  const event: DomainEvent = {
    type: 'RebateAccrued',
    data: RebateAccrued.fromPartial({
      member,
      currency: 'GBP',
      occurredAt: at,
      entryId: `bench~${n}`,
      merchant: 'bench',
      cause: RebateCause.TRACKED,
      lines: [
        {
          lineNo: 1,
          sku: `sku-${n % 500}`,
          quantity: 2n,
          unitPrice: '10.00',
          amountMinor: 2_000n,
          ruleSetVersion: 1,
          ruleId: 'all',
          rateBps: 500,
          rebateMinor: amount,
          orderedAt: at,
          maturesAt: at,
        },
      ],
      amountMinor: amount,
      toPending: amount,
      releaseOn: ReleaseOn.TRACKED,
      releasedBySource: true,
      balance: { pending: amount, accrued: amount },
    }),
  };
  const requestId = randomUUID();
  return {
    id: randomUUID(),
    ...encodeEvent(event),
    metadata: JSON.stringify({ requestId, $correlationId: requestId }),
  };
}

async function appendRate(store: EventStore, seconds: number): Promise<number> {
  const run = randomUUID();
  const { perSecond } = await closedLoop(seconds, inFlight, (n) =>
    store.append(accountStream(`${run}-${n}`, 'GBP'), noStream, [accrual('m', n)]),
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

async function readAndParse(store: EventStore): Promise<number> {
  const start = performance.now();
  let events = 0;
  for await (const batch of store.subscribe({
    after: logStart,
    signal: new AbortController().signal,
    maxBatch: 5_000,
  })) {
    for (const event of batch.events) {
      JSON.parse(event.data);
      events++;
    }
    if (batch.caughtUp) break;
  }
  return events / ((performance.now() - start) / 1_000);
}

export async function log(seconds: number, replayEvents: number): Promise<Result[]> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tallyback-bench-'));
  const postgres = await startPostgres({ dataDir });
  try {
    const store = await openPostgresEventStore({ connectionString: postgres.url });
    const pairs: [number, number][] = [];
    for (let round = 0; round < 3; round++) {
      pairs.push([await appendRate(store, seconds), await bareRate(postgres.url, seconds)]);
    }
    await store.close();
    const append: Result = {
      name: `appends of one event, ${inFlight} in flight`,
      value: median(pairs.map(([a]) => a)),
      unit: 'events/s',
      peer: {
        name: `bare inserts of ${inFlight} rows a commit`,
        value: median(pairs.map(([, b]) => b)),
        unit: 'rows/s',
      },
    };
    return [append, ...(await replay(postgres.url, replayEvents))];
  } finally {
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function replay(url: string, events: number): Promise<Result[]> {
  const admin = new pg.Client(url);
  await admin.connect();
  await admin.query('create database replay');
  await admin.end();
  const own = new URL(url);
  own.pathname = '/replay';
  const store = await openPostgresEventStore({ connectionString: own.href });
  const pool = new pg.Pool({ connectionString: own.href, max: 4 });
  const perMember = 50;
  for (let first = 0; first < events; first += perMember * 100) {
    await Promise.all(
      Array.from({ length: Math.min(100, Math.ceil((events - first) / perMember)) }, (_, m) => {
        const member = `member-${first}-${m}`;
        const batch = Array.from({ length: perMember }, (_unused, n) =>
          accrual(member, first + m * perMember + n),
        );
        return store.append(accountStream(member, 'GBP'), noStream, batch);
      }),
    );
  }
  const rounds: [number, number][] = [];
  for (let round = 0; round < 3; round++) {
    const read = await readAndParse(store);
    rounds.push([await foldAll(store, pool, `balance_${round}`, events), read]);
  }
  await pool.end();
  await store.close();
  return [
    {
      name: `replay of the balances, ${events} accruals, ${perMember} a member`,
      value: median(rounds.map(([a]) => a)),
      unit: 'events/s',
      peer: {
        name: 'reading and parsing the same log',
        value: median(rounds.map(([, b]) => b)),
        unit: 'events/s',
      },
    },
  ];
}

/** Events a second, from an empty table to the end of the log. */
async function foldAll(store: EventStore, pool: pg.Pool, name: string, events: number): Promise<number> {
  const model = { ...balance, name };
  const log = (line: string): void => console.error(line);
  const start = performance.now();
  const projections = await startProjections({
    store,
    storage: postgresStorage({ pool, store, log }),
    models: [model],
    instance: randomUUID(),
    limits: { maxEvents: 10_000, cachedRows: 100_000, pendingRows: 50_000 },
    log,
  });
  const never = new AbortController().signal;
  await projections.progress.reached(checkpointName(model), await store.head(), never);
  const perSecond = events / ((performance.now() - start) / 1_000);
  await projections.stop();
  return perSecond;
}
