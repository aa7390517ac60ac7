/** Read models folded anew and put right in real processes, over gRPC and from the command line. */
import { credentials } from '@grpc/grpc-js';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AdjustBalanceRequest } from '../../src/gen/tallyback/account/v1/account_command_service.ts';
import {
  GetBalanceRequest,
  WatchBalancesRequest,
  type WatchBalancesResponse,
} from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import {
  type Generation,
  GenerationState,
  ListParkedRequest,
  ProjectionAdminServiceClient,
  StartRebuildRequest,
  type WatchRebuildResponse,
} from '../../src/gen/tallyback/admin/v1/projection_admin_service.ts';
import { WaitForRequest } from '../../src/gen/tallyback/system/v1/system_service.ts';
import { type Connection, connect } from '../../src/main/client/connect.ts';
import { unary } from '../../src/main/client/unary.ts';
import { joinRunningPostgres } from '../../src/operations/postgres/index.ts';
import { startServer, startTallyback, type TallybackProcess } from '../support/tallyback-process.ts';

let folder: string;
const started: TallybackProcess[] = [];
const open: { close(): void }[] = [];
const signal = new AbortController().signal;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tallyback-e2e-'));
});

afterEach(async () => {
  for (const one of open.splice(0)) one.close();
  for (const one of started.splice(0).toReversed())
    if (one.child.exitCode === null && one.child.signalCode === null) await one.end('SIGTERM');
  rmSync(folder, { recursive: true, force: true });
});

interface Server extends TallybackProcess {
  readonly connection: Connection;
  readonly admin: ProjectionAdminServiceClient;
}

async function serve(env: NodeJS.ProcessEnv = {}): Promise<Server> {
  const server = await startServer(folder, env);
  started.push(server);
  const connection = connect(server.address);
  const admin = new ProjectionAdminServiceClient(server.address, credentials.createInsecure());
  open.push(connection, admin);
  return { ...server, connection, admin };
}

/** The command line, from beginning to end. */
function projections(...args: readonly string[]): TallybackProcess {
  const run = startTallyback(['projections', ...args, '--data', folder], slowly);
  started.push(run);
  return run;
}

async function said(...args: readonly string[]): Promise<string> {
  const run = projections(...args);
  expect(await run.exited, run.output()).toBe(0);
  return run.output();
}

/** So that there is time to do something to it. */
const slowly = { TALLYBACK_REBUILD_EVENTS_PER_SECOND: '100' };

let made = 0;
const credit = ({ accountCommands }: Connection, member: string) =>
  unary(
    accountCommands,
    accountCommands.adjustBalance,
    AdjustBalanceRequest.fromPartial({
      requestId: randomUUID(),
      member,
      currency: 'GBP',
      occurredAt: new Date('2026-01-01T00:00:00Z'),
      adjustmentId: `a${++made}`,
      amountMinor: 1n,
      reason: 'test',
      requestedBy: 'ann',
      approvedBy: 'bob',
    }),
    { signal },
  );

async function creditAll({ connection }: Server, count: number): Promise<void> {
  const { system } = connection;
  await Promise.all(Array.from({ length: count }, (_, n) => credit(connection, `m${n % 5}`)));
  await unary(system, system.waitFor, WaitForRequest.fromPartial({}), { signal });
}

const balanceOf = async (
  { accounts }: Connection,
  member: string,
  atLeast = '',
): Promise<bigint | undefined> => {
  const consistency = { atLeast };
  const request = GetBalanceRequest.fromPartial({ member, currency: 'GBP', consistency });
  const { balance } = await unary(accounts, accounts.getBalance, request, { signal });
  return balance?.availableMinor;
};

const startRebuild = async ({ admin }: Server): Promise<number> => {
  const request = StartRebuildRequest.fromPartial({ projection: 'balance', operator: 'olga' });
  return (await unary(admin, admin.startRebuild, request, { signal })).generation;
};

async function eventsRead({ admin }: Server, generation: number): Promise<bigint | undefined> {
  const { generations } = await unary(admin, admin.listProjections, {}, { signal });
  return generations.find(({ projection, number }) => projection === 'balance' && number === generation)
    ?.events;
}

/** All that the watch shows, once it has ended. */
const watchRebuild = ({ admin }: Server, generation: number): Promise<readonly Generation[]> =>
  new Promise((resolve, reject) => {
    const seen: Generation[] = [];
    const call = admin.watchRebuild({ projection: 'balance', generation });
    call.on('data', ({ generation: now }: WatchRebuildResponse) => now && seen.push(now));
    call.on('end', () => resolve(seen));
    call.on('error', reject);
  });

async function onDatabase(sql: string): Promise<void> {
  const postgres = await joinRunningPostgres(folder);
  const client = new pg.Client({ connectionString: postgres?.url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

/** Keeps what it is sent, and how often it began again. */
function watchBalances({ accounts }: Connection): {
  state: Map<string, bigint>;
  resets: number;
  whole: boolean;
} {
  const seen = { state: new Map<string, bigint>(), resets: 0, whole: false };
  let snapshot = new Map<string, bigint>();
  const call = accounts.watchBalances(WatchBalancesRequest.fromPartial({}));
  open.push({ close: () => call.cancel() });
  call.on('error', () => undefined);
  call.on('data', ({ event }: WatchBalancesResponse) => {
    switch (event?.$case) {
      case 'snapshotStarted':
        snapshot = new Map();
        seen.whole = false;
        break;
      case 'changes':
        for (const { member, availableMinor } of event.value.balances) {
          (seen.whole ? seen.state : snapshot).set(member, availableMinor);
        }
        break;
      case 'snapshotCompleted':
        seen.state = snapshot;
        seen.whole = true;
        break;
      case 'reset':
        seen.resets++;
        break;
      default:
    }
  });
  return seen;
}

describe('a rebuild', { timeout: 120_000 }, () => {
  test('goes on while commands, queries and a watch do, and none of them fails', async () => {
    const server = await serve(slowly);
    await creditAll(server, 200);
    const watching = watchBalances(server.connection);
    await expect.poll(() => watching.whole).toBe(true);

    const generation = await startRebuild(server);
    const rebuilt = new AbortController();
    const sent = new Map<string, bigint>();
    const load = (async () => {
      for (let n = 0; !rebuilt.signal.aborted; n = (n + 1) % 5) {
        const { receipt } = await credit(server.connection, `m${n}`);
        const balance = await balanceOf(server.connection, `m${n}`, receipt?.positionToken);
        expect(balance).toBeGreaterThan(sent.get(`m${n}`) ?? 0n);
        sent.set(`m${n}`, balance ?? 0n);
      }
    })();
    const seen = await watchRebuild(server, generation);
    rebuilt.abort();
    await load;
    expect(seen.length).toBeGreaterThan(2);
    expect(seen.at(-1)).toMatchObject({
      state: GenerationState.SERVING,
      projection: 'balance',
      report: { differences: 0n },
    });
    expect(seen.some(({ lagEvents }) => lagEvents > 0n)).toBe(true);
    // Written before and after, read after: all of it is there.
    const { receipt } = await credit(server.connection, 'm0');
    sent.set('m0', (sent.get('m0') ?? 0n) + 1n);
    expect(await balanceOf(server.connection, 'm0', receipt?.positionToken)).toBe(sent.get('m0'));
    await expect.poll(() => watching.resets, { timeout: 15_000 }).toBe(1);
    await expect
      .poll(() => watching.whole && Object.fromEntries(watching.state), { timeout: 15_000 })
      .toEqual(Object.fromEntries(sent));
  });

  test('that a killed server was in the middle of is finished by the next one', async () => {
    const first = await serve(slowly);
    await creditAll(first, 400);
    const generation = await startRebuild(first);
    await expect.poll(() => eventsRead(first, generation), { timeout: 20_000 }).toBeGreaterThan(0n);
    await first.end('SIGKILL');
    expect(first.output()).not.toContain('indexing');
    const second = await serve();
    const seen = await watchRebuild(second, generation);
    expect(seen.at(-1)).toMatchObject({ state: GenerationState.SERVING, report: { differences: 0n } });
    expect(await balanceOf(second.connection, 'm0')).toBe(80n);
  });
});

describe('the command line', { timeout: 180_000 }, () => {
  test('rebuilds, compares, accepts, goes back; beside a server and without', async () => {
    const server = await serve();
    await creditAll(server, 20);
    expect(await said('rebuild', 'balance')).toMatch(
      /5 served, 5 built[\s\S]*different {2}0[\s\S]*balance\/2 serves/,
    );
    await onDatabase(
      `update tallyback.balance_2 set available_minor = available_minor + 7 where member = 'm1'`,
    );
    const dry = projections('rebuild', 'balance', '--dry-run');
    expect(await dry.exited, dry.output()).toBe(1);
    expect(dry.output()).toMatch(/different {2}1[\s\S]*\["m1", "GBP"\][\s\S]*dry run, and is dropped/);

    await server.end('SIGTERM');
    const differs = projections('rebuild', 'balance');
    expect(await differs.exited, differs.output()).toBe(1);
    expect(differs.output()).toMatch(/balance\/4 differs from what serves/);
    expect(await said('accept', 'balance')).toMatch(/balance\/4 serves/);
    expect(await said('list')).toMatch(/projection:balance\/4 +at 20\/20 +caught up, serving/);
    expect(await said('rollback', 'balance')).toMatch(/balance\/2 serves/);
    const again = await serve();
    expect(await balanceOf(again.connection, 'm1')).toBe(11n);
    const nothing = projections('cancel', 'balance');
    expect(await nothing.exited).toBe(1);
    expect(nothing.output()).toMatch(/no generation of balance is being built/);
  });

  test('left before the end, says who goes on, or how', async () => {
    const server = await serve(slowly);
    await creditAll(server, 600);
    const beside = projections('rebuild', 'balance');
    await expect.poll(() => eventsRead(server, 2), { timeout: 20_000 }).toBeGreaterThan(0n);
    expect(await beside.end('SIGINT'), beside.output()).toBe(0);
    expect(beside.output()).toMatch(/balance\/2 goes on in \S+\./);
    await server.end('SIGTERM');
    const alone = projections('resume', 'balance');
    await expect.poll(() => alone.output(), { timeout: 20_000 }).toContain('balance/2  loading');
    await new Promise((resolve) => {
      setTimeout(resolve, 1_000);
    });
    expect(await alone.end('SIGINT'), alone.output()).toBe(1);
    expect(alone.output()).toMatch(/Stopped: no server runs\. balance\/2 goes on from where it is/);
    expect(await said('pause', 'balance')).toMatch(/balance\/2 is paused/);
    expect(await said('list')).toMatch(
      /balance\/2 .*building \(loading, paused, no instance runs that could\)/,
    );
    expect(await said('cancel', 'balance')).toMatch(/balance\/2 is dropped/);
  });

  test('shows what is parked, and has it folded', async () => {
    const server = await serve();
    await creditAll(server, 10);
    // As if two events had not been folded; whoever leads starts again from what is stored.
    await onDatabase(`
      delete from tallyback.balance_1 where member = 'm1';
      insert into tallyback.parked_event (model, number, scope, commit, position, stream, revision, type, error, stack)
      select 'balance', 1, 'row:["m1","GBP"]', position, position || '/' || position, stream, revision, type,
        'a fold that was wrong', 'at balance.ts' from tallyback_log.events where stream like '%m1%';
      update tallyback.checkpoint set epoch = epoch + 1 where name = 'projection:balance/1';`);
    const { admin } = server;
    const { scopes } = await unary(admin, admin.listParked, ListParkedRequest.fromPartial({}), { signal });
    expect(scopes).toMatchObject([{ projection: 'balance', events: 2n, scope: 'row:["m1","GBP"]' }]);
    expect(await said('parked', 'list')).toMatch(/balance\/1 row:\["m1","GBP"\] {2}2 events since/);
    expect(await said('parked', 'show', 'balance')).toMatch(
      /event 1 of \S+\n {4}a fold that was wrong\n {4}at balance/,
    );
    expect(await said('list')).toMatch(/balance\/1 .*serving, 2 events parked/);
    expect(await said('parked', 'retry', 'balance')).toMatch(/2 events are folded/);
    const { receipt } = await credit(server.connection, 'm1');
    expect(await balanceOf(server.connection, 'm1', receipt?.positionToken)).toBe(3n);
    expect(await said('parked', 'list')).toMatch(/Nothing is parked/);
    const none = projections('parked', 'drop', 'balance', 'row:["m1","GBP"]');
    expect(await none.exited).toBe(1);
    expect(none.output()).toMatch(/nothing is parked in row/);
  });
});
