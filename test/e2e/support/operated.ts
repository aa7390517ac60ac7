/** Servers whose read models are operated, as real processes, and what is done to them. */
import { credentials } from '@grpc/grpc-js';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, expect } from 'vitest';
import { AdjustBalanceRequest } from '../../../src/gen/tallyback/account/v1/account_command_service.ts';
import {
  GetBalanceRequest,
  WatchBalancesRequest,
  type WatchBalancesResponse,
} from '../../../src/gen/tallyback/account/v1/account_query_service.ts';
import {
  type Generation,
  ProjectionAdminServiceClient,
  StartRebuildRequest,
  type WatchRebuildResponse,
} from '../../../src/gen/tallyback/admin/v1/projection_admin_service.ts';
import { WaitForRequest } from '../../../src/gen/tallyback/system/v1/system_service.ts';
import { type Connection, connect } from '../../../src/main/client/connect.ts';
import { unary } from '../../../src/main/client/unary.ts';
import { joinRunningPostgres } from '../../../src/operations/postgres/index.ts';
import { startServer, startTallyback, type TallybackProcess } from '../../support/tallyback-process.ts';

let folder: string;
const started: TallybackProcess[] = [];
const open: { close(): void }[] = [];
export const signal = new AbortController().signal;

/** Every test has a data folder, and leaves nothing behind. */
export function inFolders(): void {
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tallyback-e2e-'));
  });
  afterEach(async () => {
    for (const one of open.splice(0)) one.close();
    for (const one of started.splice(0).toReversed())
      if (one.child.exitCode === null && one.child.signalCode === null) await one.end('SIGTERM');
    rmSync(folder, { recursive: true, force: true });
  });
}

export interface Server extends TallybackProcess {
  readonly connection: Connection;
  readonly admin: ProjectionAdminServiceClient;
}

export async function serve(env: NodeJS.ProcessEnv = {}): Promise<Server> {
  const server = await startServer(folder, env);
  started.push(server);
  const connection = connect(server.address);
  const admin = new ProjectionAdminServiceClient(server.address, credentials.createInsecure());
  open.push(connection, admin);
  return { ...server, connection, admin };
}

/** The command line, from beginning to end. */
export function projections(...args: readonly string[]): TallybackProcess {
  const run = startTallyback(['projections', ...args, '--data', folder], slowly);
  started.push(run);
  return run;
}

export async function said(...args: readonly string[]): Promise<string> {
  const run = projections(...args);
  expect(await run.exited, run.output()).toBe(0);
  return run.output();
}

/** So that there is time to do something to it. */
export const slowly = { TALLYBACK_REBUILD_EVENTS_PER_SECOND: '100' };

let made = 0;
export const credit = ({ accountCommands }: Connection, member: string) =>
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

export async function creditAll({ connection }: Server, count: number): Promise<void> {
  const { system } = connection;
  await Promise.all(Array.from({ length: count }, (_, n) => credit(connection, `m${n % 5}`)));
  await unary(system, system.waitFor, WaitForRequest.fromPartial({}), { signal });
}

export const balanceOf = async (
  { accounts }: Connection,
  member: string,
  atLeast = '',
): Promise<bigint | undefined> => {
  const consistency = { atLeast };
  const request = GetBalanceRequest.fromPartial({ member, currency: 'GBP', consistency });
  const { balance } = await unary(accounts, accounts.getBalance, request, { signal });
  return balance?.availableMinor;
};

export const startRebuild = async ({ admin }: Server): Promise<number> => {
  const request = StartRebuildRequest.fromPartial({ projection: 'balance', operator: 'olga' });
  return (await unary(admin, admin.startRebuild, request, { signal })).generation;
};

export async function eventsRead({ admin }: Server, generation: number): Promise<bigint | undefined> {
  const { generations } = await unary(admin, admin.listProjections, {}, { signal });
  return generations.find(({ projection, number }) => projection === 'balance' && number === generation)
    ?.events;
}

/** All that the watch shows, once it has ended. */
export const watchRebuild = ({ admin }: Server, generation: number): Promise<readonly Generation[]> =>
  new Promise((resolve, reject) => {
    const seen: Generation[] = [];
    const call = admin.watchRebuild({ projection: 'balance', generation });
    call.on('data', ({ generation: now }: WatchRebuildResponse) => now && seen.push(now));
    call.on('end', () => resolve(seen));
    call.on('error', reject);
  });

export async function onDatabase(sql: string): Promise<void> {
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
export function watchBalances({ accounts }: Connection): {
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
