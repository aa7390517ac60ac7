/** A round finds what it is there to find: bugs that are put in, under the faults that bring them out. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import type { House } from './house.ts';
import { longerThanAnyLeaseMs } from './mischief.ts';
import {
  checkpointFirst,
  newRequestIds,
  noFencing,
  notDurable,
  plant,
  type PlantedServer,
} from './planted-bugs.ts';
import { playRound } from './round.ts';
import { leader } from './takeover.ts';

const options = { seed: 7, seconds: 30, servers: 2, clients: 12 };

/** What a bug does in one round depends on where a fault strikes; a sign that has not shown gets so many chances. */
const rounds = 8;

/**
 * Another takes over meanwhile; then there are two who believe that they are the one. The way to Postgres is slow before,
 * so that the one that is frozen has rows to write that are old when it comes to itself.
 */
async function zombie(house: House): Promise<void> {
  await pause(1_000);
  for (let n = 0; n < 2; n++) {
    const frozen = await leader(house);
    frozen.proxy.delay(150);
    await pause(1_500);
    house.journal.fault('frozen past its lease', frozen.name);
    frozen.freeze();
    await pause(longerThanAnyLeaseMs);
    frozen.proxy.heal();
    frozen.thaw();
    await pause(2_000);
  }
}

/** Again and again in the midst of a write. */
async function broken({ journal, postgres, servers }: House): Promise<void> {
  for (const { proxy } of servers) proxy.delay(10);
  for (let n = 0; n < 6; n++) {
    await pause(1_000);
    journal.fault('backends terminated', 'Postgres');
    await postgres.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'server-%'`,
    );
  }
  for (const { proxy } of servers) proxy.heal();
}

async function crashed(house: House): Promise<void> {
  for (let n = 0; n < 3; n++) {
    await pause(1_500);
    house.journal.fault('Postgres crashed and restarted', '');
    await house.postgres.crash();
    await house.restartPostgres();
  }
}

let planted: PlantedServer | undefined;

afterEach(async () => {
  await planted?.remove();
});

test.each([
  {
    bug: 'a replaced writer goes on writing',
    patches: noFencing,
    faults: zombie,
    shows: [/checkpoint of \w+ went back/, /by the log it is/],
  },
  {
    bug: 'the checkpoint is moved before the rows are written, and policies ask under new request ids each time',
    patches: [...checkpointFirst, ...newRequestIds],
    faults: broken,
    shows: [/no row for/, /by the log it is/, /stock moved/],
  },
  {
    bug: 'a command is acknowledged before it is durable',
    patches: notDurable,
    faults: crashed,
    shows: [/accepted, but stored: nothing/],
  },
])(
  '$bug: found',
  async ({ bug, patches, faults, shows }) => {
    planted = await plant(patches);
    const seen: string[] = [];
    const summaries: string[] = [];
    const unseen = (): readonly RegExp[] => shows.filter((sign) => !seen.some((one) => sign.test(one)));
    for (let round = 0; round < rounds && unseen().length > 0; round++) {
      const plan = {
        options: { ...options, seed: options.seed + round },
        faults,
        cli: planted.cli,
        patienceMs: 30_000,
      };
      const { violations, summary } = await playRound(plan);
      seen.push(...violations);
      summaries.push(summary);
    }
    console.log(`${bug}: ${seen.length} violations, such as\n  ${seen.slice(0, 3).join('\n  ')}`);
    expect(unseen(), summaries.join('\n')).toEqual([]);
  },
  600_000,
);

test('a bug that is not there to plant is said', async () => {
  const nowhere = { file: 'main/cli.js', find: 'no such text', replace: '' };
  await expect(plant([nowhere])).rejects.toThrow(/holds 0 times/);
});
