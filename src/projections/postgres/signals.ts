/** What instances tell each other, by NOTIFY: soon, unless the one who listens is just connecting anew. */
import type pg from 'pg';
import type { Signals } from '../engine/storage.ts';
import { backoff, type Timing } from '../engine/timing.ts';

const channel = 'tallyback_projections';
const longestRetry = 5_000;

/** Who listens keeps one of the pool's connections. */
export function postgresSignals(pool: pg.Pool, timing: Timing): Signals {
  return {
    async tell(message) {
      await pool.query({ name: 'signal', text: 'select pg_notify($1, $2)', values: [channel, message] });
    },
    listen: (heard, signal) => void listen(pool, timing, heard, signal),
  };
}

/** Never rejects: who cannot listen goes without. */
async function listen(
  pool: pg.Pool,
  timing: Timing,
  heard: (message: string) => void,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 0; !signal.aborted && !pool.ending; attempt++) {
    try {
      const client = await pool.connect();
      const over = new AbortController();
      const ended = new Promise<void>((resolve) => {
        client.once('error', () => resolve());
        client.once('end', resolve);
        signal.addEventListener('abort', () => resolve(), { once: true, signal: over.signal });
      });
      try {
        client.on('notification', ({ payload }) => {
          if (!signal.aborted) heard(payload ?? '');
        });
        await client.query(`listen ${channel}`);
        attempt = 0;
        if (!signal.aborted) await ended;
      } finally {
        over.abort();
        // It listens, so it is of no use to others.
        client.release(true);
      }
    } catch {
      // Whatever is wrong with the database is told by those who cannot do without it.
    }
    if (!signal.aborted) await timing.sleep(backoff(timing, attempt, longestRetry), signal);
  }
}
