/** Real server processes: killed, restarted, stopped, started twice, deprived of their database. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  AdjustBalanceRequest,
  type AdjustBalanceResponse,
} from '../../src/gen/tallyback/account/v1/account_command_service.ts';
import {
  type Balance,
  GetBalanceRequest,
  ListBalancesRequest,
  ListStatementRequest,
  WatchBalancesRequest,
} from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import { BalanceAdjusted } from '../../src/gen/tallyback/events/v1/account.ts';
import { WatchEventsRequest } from '../../src/gen/tallyback/feed/v1/event_feed_service.ts';
import { type Connection, connect } from '../../src/main/client/connect.ts';
import { awaitEffects } from '../../src/main/client/effects.ts';
import { unary } from '../../src/main/client/unary.ts';
import { type ServedStore, servedStores } from '../support/served-stores.ts';
import { startServer, startTallyback, type TallybackProcess } from '../support/tallyback-process.ts';

let folder: string;
const started: TallybackProcess[] = [];
const connections: Connection[] = [];
const signal = new AbortController().signal;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tallyback-e2e-'));
});

afterEach(async () => {
  for (const connection of connections.splice(0)) connection.close();
  for (const one of started.splice(0))
    if (one.child.exitCode === null && one.child.signalCode === null) await one.end('SIGKILL');
  await postgresGone();
  rmSync(folder, { recursive: true, force: true });
});

async function serve(
  env: NodeJS.ProcessEnv = {},
): Promise<Awaited<ReturnType<typeof startServer>> & { readonly connection: Connection }> {
  const server = await startServer(folder, env);
  started.push(server);
  const connection = connect(server.address);
  connections.push(connection);
  return { ...server, connection };
}

const postgresPid = (): number | undefined => {
  try {
    return Number(readFileSync(join(folder, 'pg/postmaster.pid'), 'utf8').split('\n')[0]);
  } catch {
    return undefined;
  }
};

const lives = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

/** Waits until the Postgres of the folder has ended, as it must whenever its owner does. */
async function postgresGone(): Promise<void> {
  for (let pid = postgresPid(); pid !== undefined && lives(pid); pid = postgresPid()) {
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
}

const credit = (
  member: string,
  adjustmentId: string,
  requestId: string = randomUUID(),
): AdjustBalanceRequest =>
  AdjustBalanceRequest.fromPartial({
    requestId,
    member,
    currency: 'GBP',
    occurredAt: new Date('2026-01-01T00:00:00Z'),
    adjustmentId,
    amountMinor: 1n,
    reason: 'test',
    requestedBy: 'ann',
    approvedBy: 'bob',
  });

/** All of them, once the read models have seen everything there is. */
async function balances(connection: Connection): Promise<readonly Balance[]> {
  await awaitEffects(connection, { signal, lagPatienceMs: 20_000, patienceMs: 20_000 });
  const request = ListBalancesRequest.fromPartial({ page: { pageSize: 1_000 } });
  return (await unary(connection.accounts, connection.accounts.listBalances, request, { signal })).balances;
}

const send = async (connection: Connection, request: AdjustBalanceRequest): Promise<AdjustBalanceResponse> =>
  unary(connection.accountCommands, connection.accountCommands.adjustBalance, request, {
    signal,
    deadlineMs: 5_000,
  });

describe.each(servedStores)('a server on $name', ({ start }) => {
  let store: ServedStore;
  beforeAll(async () => {
    store = await start();
  });
  afterAll(() => store.stop());

  test('killed with SIGKILL under load: what was acknowledged is there once, what is repeated changes nothing', async () => {
    const acknowledged = new Set<string>();
    const requests = Array.from({ length: 600 }, (_, n) => credit(`m${n % 7}`, `a${n}`));
    for (let round = 0; round < 3; round++) {
      const { connection, end } = await serve(store.env);
      // All of them again every round: those of the rounds before are repeats.
      const sending = requests.map((request) =>
        send(connection, request).then(
          () => acknowledged.add(request.adjustmentId),
          () => undefined,
        ),
      );
      if (round < 2) {
        while (acknowledged.size < 100 * (round + 1)) {
          await new Promise((resolve) => {
            setTimeout(resolve, 2);
          });
        }
        await end('SIGKILL');
      }
      await Promise.all(sending);
      if (round < 2) continue;
      expect(acknowledged.size).toBe(requests.length);
      for (let m = 0; m < 7; m++) {
        const expected = requests.filter((_, n) => n % 7 === m).length;
        const { entries } = await unary(
          connection.accounts,
          connection.accounts.listStatement,
          ListStatementRequest.fromPartial({
            member: `m${m}`,
            currency: 'GBP',
            page: { pageSize: 1_000 },
            consistency: { includingEffects: true },
          }),
          { signal },
        );
        // The read model follows; its answer may be asked for once more.
        expect(entries.length).toBeLessThanOrEqual(expected);
        await expect
          .poll(
            async () => {
              const answer = await unary(
                connection.accounts,
                connection.accounts.getBalance,
                GetBalanceRequest.fromPartial({ member: `m${m}`, currency: 'GBP' }),
                { signal },
              );
              return answer.balance?.availableMinor;
            },
            { timeout: 10_000 },
          )
          .toBe(BigInt(expected));
      }
    }
  });

  test(
    'killed with SIGKILL while its events are followed: each comes once, in order, over all restarts',
    { timeout: 120_000 },
    async () => {
      const member = randomUUID();
      const ids = [0, 1].map((round) => Array.from({ length: 30 }, (_, n) => `r${round}-${n}`));
      const seen: unknown[] = [];
      let resumeToken = '';
      /** Follows until the last of all has come, or the server is gone. */
      const follow = ({ events }: Connection): Promise<void> =>
        new Promise((resolve) => {
          const request = { types: ['BalanceAdjusted'], fromBeginning: true, options: { resumeToken } };
          const feed = events.watchEvents(WatchEventsRequest.fromPartial(request));
          feed.on('error', () => resolve());
          feed.on('data', ({ header, event }) => {
            for (const { dataJson } of event?.$case === 'changes' ? event.value.events : []) {
              const data = BalanceAdjusted.fromJSON(JSON.parse(dataJson));
              if (data.member === member) seen.push(data.adjustmentId);
            }
            resumeToken = header?.resumeToken || resumeToken;
            if (seen.at(-1) === ids[1]?.at(-1)) feed.cancel();
          });
        });
      for (const [round, batch] of ids.entries()) {
        const { connection, end } = await serve(store.env);
        const following = follow(connection);
        for (const id of batch) await send(connection, credit(member, id));
        if (round === 0) await end('SIGKILL');
        await following;
      }
      expect(seen).toEqual(ids.flat());
    },
  );

  test('shows its projections, and rebuilds them, beside it and after it', { timeout: 120_000 }, async () => {
    const { connection, end } = await serve(store.env);
    const before = (await balances(connection)).length;
    const member = randomUUID();
    await send(connection, credit(member, 'a1'));
    for (const running of [true, false]) {
      if (!running) await end('SIGTERM');
      for (const verb of [['rebuild', 'balance'], ['list']]) {
        const one = startTallyback(['projections', ...verb, '--data', folder], store.env);
        started.push(one);
        expect(await one.exited, one.output()).toBe(0);
        expect(one.output()).toMatch(
          verb.length > 1
            ? /different {2}0\n[\s\S]*balance\/\d serves/
            : /projection:balance\/\d .*caught up, serving/,
        );
      }
    }
    const again = await serve(store.env);
    const after = await balances(again.connection);
    expect(after).toHaveLength(before + 1);
    expect(after.find((one) => one.member === member)?.availableMinor).toBe(1n);
  });
});

describe('a server', () => {
  test('stopped with an open watch ends it, exits cleanly and leaves no Postgres behind', async () => {
    const { connection, end } = await serve();
    const watch = connection.accounts.watchBalances(WatchBalancesRequest.fromPartial({}));
    const ended = new Promise<number>((resolve) => {
      watch.on('error', (error: { code?: number }) => resolve(error.code ?? -1));
    });
    await new Promise((resolve) => {
      watch.once('data', resolve);
    });
    watch.resume();
    const pid = postgresPid() ?? 0;
    expect(await end('SIGTERM')).toBe(0);
    expect(await ended).toBe(14);
    expect(lives(pid)).toBe(false);
  });

  test('killed with SIGKILL leaves no Postgres behind', async () => {
    const { end } = await serve();
    const pid = postgresPid() ?? 0;
    expect(lives(pid)).toBe(true);
    await end('SIGKILL');
    await expect.poll(() => lives(pid), { timeout: 15_000 }).toBe(false);
  });

  test('whose Postgres is killed says so and ends; started again, everything is there', async () => {
    const first = await serve();
    await send(first.connection, credit('ann', 'a1'));
    process.kill(postgresPid() ?? 0, 'SIGKILL');
    expect(await first.exited).toBe(1);
    expect(first.output()).toMatch(/Postgres stopped unexpectedly/);
    const second = await serve();
    expect(await send(second.connection, credit('ann', 'a1'))).toMatchObject({
      receipt: { unchanged: true },
    });
  });

  test('whose reader has gone away stops cleanly instead of falling over', async () => {
    const { child, exited, connection } = await serve();
    child.stdout?.destroy();
    // It finds out with the next line it writes.
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
    connection.close();
  });

  test('on a data folder that is in use is refused with the reason', async () => {
    await serve();
    const second = startTallyback(['serve', '--data', folder, '--listen', '127.0.0.1:0']);
    started.push(second);
    expect(await second.exited).toBe(1);
    expect(second.output()).toMatch(/another instance of Tallyback uses this data folder/);
  });

  test('on an address that is in use is refused with the reason, and takes its Postgres along', async () => {
    const { address } = await serve();
    const other = mkdtempSync(join(tmpdir(), 'tallyback-e2e-'));
    const second = startTallyback(['serve', '--data', other, '--listen', address]);
    started.push(second);
    expect(await second.exited).toBe(1);
    expect(second.output()).toContain(address);
    rmSync(other, { recursive: true, force: true });
  });
});

describe('the command line', () => {
  test.each([
    [['fly'], /no command "fly"/],
    [['serve', '--listen', 'nowhere'], /HOST:PORT/],
    [['serve', 'now'], /takes no "now"/],
    [['serve', '--fast'], /--fast/],
    [
      ['import', 'online-retail', 'x.csv', '--standalone', '--rebate-bps', '5.5', '--hold-days', '30'],
      /--rebate-bps takes a whole number/,
    ],
    [['import', 'online-retail', 'x.csv', '--rebate-bps', '500', '--hold-days', '30'], /either --target/],
    [['projections', 'rebuild', 'nothing'], /there are balance, statement/],
    [['projections', 'pause'], /projections takes list, rebuild NAME/],
    [['projections', 'pause', 'balance', '--dry-run'], /--dry-run belongs to projections rebuild/],
    [['projections', 'parked', 'drop', 'balance'], /takes NAME and SCOPE/],
  ])('%j is refused with what is wrong', async (args, says) => {
    const run = startTallyback(args);
    started.push(run);
    expect(await run.exited).toBe(2);
    expect(run.output()).toMatch(says);
  });
});
