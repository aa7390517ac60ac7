/**
 * Emmett's rebuild of the balances, in a process of its own: `rebuild.mjs URL prepare|each|batch BATCH_SIZE`.
 * Prints how many events it took and how long, as JSON.
 *
 *   prepare  its log gets the events of ours that is in the same database, in the form its appends leave there
 *   each     one upsert per event, its documented way
 *   batch    its batch variant, one upsert of the last state of every account in the batch; this version hands it
 *            batches of one event
 */
import { sql } from '@event-driven-io/dumbo';
import {
  getPostgreSQLEventStore,
  postgreSQLRawBatchSQLProjection,
  postgreSQLRawSQLProjection,
  rebuildPostgreSQLProjections,
} from '@event-driven-io/emmett-postgresql';
import pg from 'pg';

const [url, work, batchSize = '1000'] = process.argv.slice(2);
if (url === undefined) throw new Error('rebuild.mjs URL prepare|each|batch BATCH_SIZE');

const accrued = 'tallyback.events.v1.RebateAccrued';

const table = `create table if not exists emmett_balance (
  member text not null, currency text not null, pending_minor bigint not null, available_minor bigint not null,
  reserved_minor bigint not null, paid_minor bigint not null, debt_minor bigint not null,
  accrued_minor bigint not null, reversed_minor bigint not null, adjusted_minor bigint not null,
  entry_count bigint not null, orphan_units bigint not null, frozen boolean not null,
  changed_at timestamptz not null, revision bigint not null, primary key (member, currency))`;

const upsert = (rows) =>
  sql(`insert into emmett_balance as b values ${rows} on conflict (member, currency) do update set
    pending_minor = excluded.pending_minor, available_minor = excluded.available_minor,
    reserved_minor = excluded.reserved_minor, paid_minor = excluded.paid_minor,
    debt_minor = excluded.debt_minor, accrued_minor = excluded.accrued_minor,
    reversed_minor = excluded.reversed_minor, adjusted_minor = excluded.adjusted_minor,
    entry_count = b.entry_count + excluded.entry_count, changed_at = excluded.changed_at,
    revision = excluded.revision`);

const amounts = ['pending', 'available', 'reserved', 'paid', 'debt', 'accrued', 'reversed', 'adjusted'];

const row = ({ data, metadata }, entries) =>
  sql(
    `(%L, %L, ${amounts.map((name) => BigInt(data.balance[name] ?? 0)).join(', ')}, ${entries}, 0, false, %L, %s)`,
    data.member,
    data.currency,
    data.occurredAt,
    String(metadata.streamPosition),
  );

const entriesOf = ({ data }) => (data.opensEntry ? 1 : 0);

const declaration = {
  canHandle: [accrued],
  // Its own truncate asks for a table of its documents.
  init: () => [sql(table), sql('truncate emmett_balance')],
};

const projections = {
  each: () =>
    postgreSQLRawSQLProjection({
      ...declaration,
      name: 'balance-each',
      evolve: (event) => upsert(row(event, entriesOf(event))),
    }),
  batch: () =>
    postgreSQLRawBatchSQLProjection({
      ...declaration,
      name: 'balance-batch',
      evolve(events) {
        const accounts = new Map();
        for (const event of events) {
          const key = JSON.stringify([event.data.member, event.data.currency]);
          const entries = (accounts.get(key)?.entries ?? 0) + entriesOf(event);
          accounts.set(key, { event, entries });
        }
        const rows = Array.from(accounts.values(), ({ event, entries }) => row(event, entries));
        return [upsert(rows.join(', '))];
      },
    }),
};

async function withClient(then) {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return await then(client);
  } finally {
    await client.end();
  }
}

async function prepare() {
  const store = getPostgreSQLEventStore(url);
  await store.schema.migrate();
  await store.close();
  return withClient(async (client) => {
    const { rowCount } = await client.query(`
      insert into emt_messages (stream_id, stream_position, partition, message_data, message_metadata,
        message_schema_version, message_type, message_kind, message_id, global_position, transaction_id)
      select stream, revision + 1, 'emt:default', data::jsonb, metadata::jsonb, '1', type, 'E', id::text, position,
        pg_current_xact_id()
        from tallyback_log.events order by position`);
    await client.query('vacuum analyze emt_messages');
    return rowCount;
  });
}

async function rebuild(projection) {
  // It would go on from where the last one ended.
  await withClient((client) => client.query('delete from emt_processors'));
  const consumer = rebuildPostgreSQLProjections({
    connectionString: url,
    projections: [{ projection, truncateOnStart: false }],
    // Its default rests for 50 ms after every batch.
    pulling: { batchSize: Number(batchSize), pullingFrequencyInMs: 0 },
  });
  await consumer.start();
  await consumer.close();
  return withClient(async (client) => {
    const { rows } = await client.query(
      'select coalesce(sum(accrued_minor), 0)::text as sum from emmett_balance',
    );
    return rows[0].sum;
  });
}

const start = performance.now();
const made = projections[work];
const answer = await (made ? rebuild(made()) : prepare());
console.log(JSON.stringify({ answer: String(answer), seconds: (performance.now() - start) / 1_000 }));
