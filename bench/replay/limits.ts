/** What reading the log costs when nothing is done with it: the limits that a replay is compared with. */
import pg from 'pg';
import { decodeEvent } from '../../src/domain/codec.ts';
import { type EventStore, logStart } from '../../src/eventstore/port.ts';

/** The whole log through the store, every event decoded. Answers how many there were. */
export async function readAndDecode(store: EventStore): Promise<number> {
  const stop = new AbortController();
  let events = 0;
  for await (const batch of store.subscribe({ after: logStart, signal: stop.signal, maxBatch: 5_000 })) {
    for (const event of batch.events) decodeEvent(event);
    events += batch.events.length;
    if (batch.caughtUp) break;
  }
  stop.abort();
  return events;
}

const rowsAtOnce = 5_000;

/** The whole log by the plainest query there is, its JSON parsed. Answers how many there were. */
export async function selectAndParse(url: string): Promise<number> {
  const client = new pg.Client(url);
  await client.connect();
  let events = 0;
  for (;;) {
    const { rows } = await client.query<{ data: string }>({
      name: 'select-and-parse',
      text: `select position, stream, revision, id, type, data, metadata, recorded_at
               from tallyback_log.events where position > $1 order by position limit ${rowsAtOnce}`,
      values: [events],
    });
    for (const { data } of rows) JSON.parse(data);
    events += rows.length;
    if (rows.length < rowsAtOnce) break;
  }
  await client.end();
  return events;
}
