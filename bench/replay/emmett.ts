/**
 * Rebuilding the balances beside Emmett's Postgres projections: the same events, in the same database, in turns.
 * Emmett is installed only where somebody asks for it: `npm ci` in bench/emmett.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { startPostgres } from '../../src/operations/postgres/index.ts';
import { balance } from '../../src/projections/index.ts';
import { accrued } from '../accruals.ts';
import { median } from '../measure.ts';
import type { Result } from '../result.ts';
import { costOf } from './cost.ts';
import { rebuild, tableOf } from './rebuild.ts';
import { makeSampleLog } from './sample-log.ts';

const folder = join(import.meta.dirname, '../../../bench/emmett');
const rounds = 3;

/** What Emmett is asked for; events in one batch. */
const peers = [
  { name: 'Emmett, one upsert per event', work: 'each', batch: 1_000 },
  { name: 'Emmett, its batch variant', work: 'batch', batch: 1_000 },
] as const;

export async function emmett(events: number): Promise<Result[]> {
  if (!existsSync(join(folder, 'node_modules'))) {
    console.log('emmett: not installed; run `npm ci` in bench/emmett');
    return [];
  }
  const dataDir = await mkdtemp(join(tmpdir(), 'tallyback-bench-'));
  const postgres = await startPostgres({ dataDir });
  try {
    const log = await makeSampleLog(postgres.url, 'hot', events);
    const pool = new pg.Pool({ connectionString: log.url, max: 4 });
    // The server may be gone before an idle connection is.
    pool.on('error', () => undefined);
    await run(log.url, 'prepare', 0);
    const own: number[] = [];
    const theirs = new Map<string, number[]>(peers.map(({ name }) => [name, []]));
    for (let round = 0; round < rounds; round++) {
      own.push(events / (await costOf(undefined, () => rebuild(log.store, pool, balance))).seconds);
      for (const { name, work, batch } of peers) {
        const { answer, seconds } = await run(log.url, work, batch);
        if (answer !== (await heldNow(pool))) throw new Error(`${name} came to ${answer}`);
        theirs.get(name)?.push(events / seconds);
      }
    }
    await pool.end();
    await log.close();
    return Array.from(theirs, ([name, rates]) => ({
      name: `rebuild of the balances, ${events.toLocaleString('en-GB')} events`,
      value: median(own),
      unit: 'events/s',
      peer: { name, value: median(rates), unit: 'events/s' },
      note: `round by round ${median(rates.map((rate, round) => (own[round] ?? NaN) / rate)).toFixed(1)} times`,
    }));
  } finally {
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** What all accounts together hold after our own rebuild, which rebuild.ts has been seen to get right. */
async function heldNow(pool: pg.Pool): Promise<string | undefined> {
  const table = await tableOf(pool, balance);
  const { rows } = await pool.query<{ sum: string }>(
    `select sum(accrued_minor)::text as sum from tallyback.${table} where accrued_minor >= $1`,
    [accrued],
  );
  return rows[0]?.sum;
}

async function run(
  url: string,
  work: 'prepare' | (typeof peers)[number]['work'],
  batch: number,
): Promise<{ readonly answer: string; readonly seconds: number }> {
  const script = join(folder, 'rebuild.mjs');
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--min-semi-space-size=64',
    '--max-semi-space-size=64',
    '--no-allocation-site-pretenuring',
    script,
    url,
    work,
    `${batch}`,
  ]);
  // The last line; its own come before.
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { answer: string; seconds: number };
}
