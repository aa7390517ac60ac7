/** A command on a long account that is not in memory: with a snapshot, and without. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { commandBus } from '../src/application/command-bus.ts';
import type { CommandBus, CommandRequest } from '../src/application/commands.ts';
import { postgresSnapshotStore } from '../src/application/snapshot-store-postgres.ts';
import { Snapshots } from '../src/application/snapshots.ts';
import type { AccountCommand } from '../src/domain/account/index.ts';
import type { EventStore } from '../src/eventstore/port.ts';
import { openPostgresEventStore } from '../src/eventstore/postgres/postgres-event-store.ts';
import { RebateCause } from '../src/gen/tallyback/events/v1/account.ts';
import { ReleaseOn } from '../src/gen/tallyback/events/v1/programme.ts';
import { startPostgres } from '../src/operations/postgres/index.ts';
import { systemTiming } from '../src/operations/timing.ts';
import { median } from './measure.ts';
import type { Result } from './result.ts';

const rounds = 9;

const request = (command: AccountCommand): CommandRequest => ({
  requestId: randomUUID(),
  contentHash: randomUUID(),
  aggregate: 'account',
  command,
});

const ofBench = { member: 'bench', currency: 'GBP' };

/** An order of one line, still held: one event, and it stays in the state for good. */
function earn(n: number): CommandRequest {
  const at = new Date(Date.UTC(2026, 0, 1) + n * 1_000);
  const line = {
    lineNo: 1,
    sku: `sku-${n % 500}`,
    quantity: 2n,
    unitPrice: '10.00',
    amountMinor: 2_000n,
    ruleSetVersion: 1,
    ruleId: 'all',
    rateBps: 500,
    rebateMinor: 100n,
    orderedAt: at,
    maturesAt: new Date(Date.UTC(2027, 0, 1)),
  };
  return request({
    kind: 'retarget-entry',
    ...ofBench,
    at,
    entryId: `bench~${n}`,
    merchant: 'bench',
    cause: RebateCause.TRACKED,
    added: [line],
    changed: [],
    releaseOn: ReleaseOn.TRACKED,
    releasedBySource: true,
  });
}

/** Milliseconds of one command on a bus that has just been made. */
async function cold(bus: CommandBus, n: number): Promise<number> {
  const start = performance.now();
  await bus.execute(earn(n));
  return performance.now() - start;
}

async function fill(store: EventStore, from: number, to: number): Promise<void> {
  const bus = commandBus({ store, timing: systemTiming });
  await Promise.all(Array.from({ length: to - from }, (_, n) => bus.execute(earn(from + n))));
}

/** It is made after the command has its outcome. */
async function snapshotSize(pool: pg.Pool): Promise<number> {
  for (;;) {
    const { rows } = await pool.query<{ bytes: number }>(
      'SELECT octet_length(state) AS bytes FROM tallyback.aggregate_snapshot',
    );
    if (rows[0]) return rows[0].bytes;
    await systemTiming.sleep(10);
  }
}

export async function snapshots(events: number): Promise<Result[]> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tallyback-bench-'));
  const postgres = await startPostgres({ dataDir });
  const store = await openPostgresEventStore({ connectionString: postgres.url });
  const pool = new pg.Pool({ connectionString: postgres.url, max: 4 });
  const open = (): Snapshots =>
    new Snapshots({
      snapshotStore: postgresSnapshotStore(pool),
      store,
      timing: systemTiming,
      log: console.log,
    });
  try {
    let n = events;
    await fill(store, 0, n);
    const first = open();
    await cold(commandBus({ store, timing: systemTiming, snapshots: first }), n++);
    const bytes = await snapshotSize(pool);
    await first.close();

    const compare = async (): Promise<[number, number]> => {
      const pairs: [number, number][] = [];
      // In turns, so that what else the machine does meets both.
      for (let round = 0; round < rounds; round++) {
        const kept = open();
        const restored = await cold(commandBus({ store, timing: systemTiming, snapshots: kept }), n++);
        await kept.close();
        pairs.push([restored, await cold(commandBus({ store, timing: systemTiming }), n++)]);
      }
      return [median(pairs.map(([one]) => one)), median(pairs.map(([, other]) => other))];
    };
    const result = (name: string, [value, whole]: [number, number]): Result => ({
      name,
      value,
      unit: 'ms',
      peer: { name: 'reading it whole', value: whole, unit: 'ms' },
      note: `the snapshot: ${Math.round(bytes / 1024)} KiB`,
    });
    const near = await compare();
    await fill(store, n, events + 900);
    n = events + 900;
    return [
      result(`a cold command on an account of ${events} events`, near),
      result('the same, 900 events after the snapshot', await compare()),
    ];
  } finally {
    await pool.end();
    await store.close();
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}
