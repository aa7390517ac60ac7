/**
 * Rebuilding read models, with all that is really written, beside reading and decoding the same log.
 * BENCH_EVENTS says of how many events, smallest first: "100000,1000000" if it does not.
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startPostgres } from '../../src/operations/postgres/index.ts';
import type { ReadModel } from '../../src/projections/engine/read-model.ts';
import { balance, statement } from '../../src/projections/index.ts';
import { accrued } from '../accruals.ts';
import { median } from '../measure.ts';
import type { Result } from '../result.ts';
import { type Cost, costOf } from './cost.ts';
import { readAndDecode, selectAndParse } from './limits.ts';
import { checkRows, rebuild } from './rebuild.ts';
import { makeSampleLog, type SampleLog, type Shape } from './sample-log.ts';

/** Once is enough where it takes minutes: what else the machine does meanwhile evens out. */
const roundsOf = (events: number): number => (events > 2_000_000 ? 1 : 3);

/** What is rebuilt from which log, and what must come out. */
const subjects: readonly {
  readonly name: string;
  readonly shape: Shape;
  readonly model: ReadModel;
  readonly check: (pool: pg.Pool, log: SampleLog) => Promise<void>;
}[] = [
  {
    name: 'balance, 2,000 accounts',
    shape: 'hot',
    model: balance,
    check: (pool, { events, accounts }) =>
      checkRows(pool, balance, accounts, 'accrued_minor', accrued * BigInt(events)),
  },
  {
    name: 'statement, a row per event',
    shape: 'hot',
    model: statement,
    check: (pool, { events }) => checkRows(pool, statement, events, 'amount_minor', accrued * BigInt(events)),
  },
  {
    name: 'balance, an account for 19 of 20 events',
    shape: 'wide',
    model: balance,
    check: (pool, { events, accounts }) =>
      checkRows(pool, balance, accounts, 'accrued_minor', accrued * BigInt(events)),
  },
];

export async function replay(): Promise<Result[]> {
  const sizes = (process.env['BENCH_EVENTS'] ?? '100000,1000000').split(',').map(Number);
  const dataDir = await mkdtemp(join(tmpdir(), 'tallyback-bench-'));
  const postgres = await startPostgres({ dataDir });
  try {
    const postmaster = Number(readFileSync(join(dataDir, 'pg/postmaster.pid'), 'utf8').split('\n')[0]);
    const results: Result[] = [];
    const smallest = new Map<string, number>();
    for (const size of sizes) {
      for (const shape of ['hot', 'wide'] as const) {
        const log = await makeSampleLog(postgres.url, shape, size);
        results.push(...(await measure(log, postmaster, smallest)));
        await log.close();
      }
    }
    return results;
  } finally {
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** In turns, so that what else the machine does meets all. `smallest`: cost per event at the first size. */
async function measure(log: SampleLog, postmaster: number, smallest: Map<string, number>): Promise<Result[]> {
  const pool = new pg.Pool({ connectionString: log.url, max: 4 });
  // The server may be gone before an idle connection is.
  pool.on('error', () => undefined);
  const works: Record<string, () => Promise<unknown>> = {
    'reading and decoding': () => readAndDecode(log.store),
    'plain select and JSON.parse': () => selectAndParse(log.url),
  };
  for (const { name, shape, model } of subjects) {
    if (shape === log.shape) works[`replay: ${name}`] = () => rebuild(log.store, pool, model);
  }
  const costs = new Map<string, Cost[]>(Object.keys(works).map((name) => [name, []]));
  for (let round = 0; round < roundsOf(log.events); round++) {
    for (const [name, work] of Object.entries(works)) {
      costs.get(name)?.push(await costOf(postmaster, work));
      const subject = subjects.find((one) => `replay: ${one.name}` === name && one.shape === log.shape);
      await subject?.check(pool, log);
    }
  }
  await pool.end();
  const reading = costs.get('reading and decoding') ?? [];
  return [...costs].map(([name, all]) => report(name, log, all, reading, smallest));
}

function report(
  name: string,
  { shape, events }: SampleLog,
  costs: readonly Cost[],
  reading: readonly Cost[],
  smallest: Map<string, number>,
): Result {
  const per = (of: (cost: Cost) => number | undefined): number =>
    (1e6 * median(costs.map((cost) => of(cost) ?? NaN))) / events;
  const perEvent = per(({ seconds }) => seconds);
  const known = `${shape}: ${name}`;
  const first = smallest.get(known) ?? perEvent;
  smallest.set(known, first);
  const ratio = median(costs.map(({ seconds }, round) => (reading[round]?.seconds ?? NaN) / seconds));
  const memory = Math.max(...costs.map(({ peakMemory }) => peakMemory ?? NaN)) / 2 ** 20;
  return {
    name: `${known}, ${events.toLocaleString('en-GB')} events`,
    value: 1e6 / perEvent,
    unit: 'events/s',
    peer: {
      name: 'reading and decoding',
      value: 1e6 / ((1e6 * median(reading.map(({ seconds }) => seconds))) / events),
      unit: 'events/s',
    },
    note:
      `round by round ${(100 * ratio).toFixed(0)} %; an event costs ${perEvent.toFixed(1)} µs, ` +
      `${(perEvent / first).toFixed(2)} of the smallest size; processor ${per(({ ownCpu }) => ownCpu).toFixed(1)} µs here, ` +
      `${per(({ postgresCpu }) => postgresCpu).toFixed(1)} µs in Postgres; at most ${memory.toFixed(0)} MiB`,
  };
}
