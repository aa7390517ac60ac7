/**
 * Logs of any size, made fast: rows go straight into the log's table, in the form that appends leave there. What
 * was made is then read back through the store.
 */
import pg from 'pg';
import { type EventStore, logStart, type NewEvent } from '../../src/eventstore/port.ts';
import { openPostgresEventStore } from '../../src/eventstore/postgres/postgres-event-store.ts';
import { accrual, streamOf } from '../accruals.ts';

/** How events spread over accounts; answers the account of the `n`th. */
const shapes = {
  /** 2,000 accounts, in no order that a cache could profit from. */
  hot: (n: number) => (n * 7_919) % 2_000,
  /** An account of its own for nineteen events of twenty. */
  wide: (n: number) => (n % 20 === 19 ? n - 10 : n),
} as const;

export type Shape = keyof typeof shapes;

export interface SampleLog {
  readonly url: string;
  readonly store: EventStore;
  readonly shape: Shape;
  readonly events: number;
  readonly accounts: number;
  close(): Promise<void>;
}

const rowsAtOnce = 10_000;

const insert = `
  insert into tallyback_log.events (position, stream, revision, id, type, data, metadata, recorded_at)
  select $1::bigint + k, stream, revision, id, type, data, metadata, date_trunc('milliseconds', now())
    from rows from (unnest($2::text[]), unnest($3::int[]), unnest($4::uuid[]), unnest($5::text[]),
                    unnest($6::text[]), unnest($7::text[]))
         with ordinality as x(stream, revision, id, type, data, metadata, k)`;

/** A database of its own, with a log of that many events; `server` is an address to create it from. */
export async function makeSampleLog(server: string, shape: Shape, events: number): Promise<SampleLog> {
  const url = await createDatabase(server, `${shape}_${events}`);
  await (await openPostgresEventStore({ connectionString: url })).close();
  const revisions = new Map<number, number>();
  const sample = new Map<string, NewEvent>();
  await withClient(url, async (client) => {
    for (let first = 0; first < events; first += rowsAtOnce) {
      const rows = Array.from({ length: Math.min(rowsAtOnce, events - first) }, (_, i) => {
        const account = shapes[shape](first + i);
        const member = `member-${account}`;
        const revision = (revisions.get(account) ?? -1) + 1;
        revisions.set(account, revision);
        const event = accrual(member, first + i, revision);
        if (i === 0) sample.set(streamOf(member), event);
        return { stream: streamOf(member), revision, event };
      });
      await client.query({
        name: 'sample-log',
        text: insert,
        values: [
          first,
          rows.map(({ stream }) => stream),
          rows.map(({ revision }) => revision),
          ...(['id', 'type', 'data', 'metadata'] as const).map((field) =>
            rows.map(({ event }) => event[field]),
          ),
        ],
      });
    }
    // Or the first who reads pays for what the writer left behind.
    await client.query('vacuum analyze tallyback_log.events');
  });
  const store = await openPostgresEventStore({ connectionString: url });
  await check(store, events, sample);
  return { url, store, shape, events, accounts: revisions.size, close: () => store.close() };
}

async function createDatabase(server: string, name: string): Promise<string> {
  await withClient(server, (client) => client.query(`create database "${name}" template template0`));
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

async function withClient(url: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

/** As many as there should be, and some of them to the letter. */
async function check(
  store: EventStore,
  events: number,
  sample: ReadonlyMap<string, NewEvent>,
): Promise<void> {
  const head = await store.head();
  if (head.commit !== BigInt(events)) throw new Error(`the log ends at ${head.commit}, not at ${events}`);
  const signal = AbortSignal.timeout(60_000);
  for await (const batch of store.subscribe({ after: logStart, signal, maxBatch: 1 })) {
    if (batch.events[0]?.position.commit !== 1n) throw new Error('the log does not begin at 1');
    break;
  }
  for (const [stream, { id, type, data, metadata }] of sample) {
    let found = false;
    for await (const event of store.readStream(stream)) {
      if (event.id !== id) continue;
      found = event.type === type && event.data === data && event.metadata === metadata;
    }
    if (!found) throw new Error(`${stream} does not hold what was written`);
  }
}
