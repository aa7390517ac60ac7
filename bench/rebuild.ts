/**
 * The balances folded anew while 500 commands a second come in: what that costs the commands. A client queries and
 * watches all the while; a query that fails or a watch that ends is an error, and so is a table that comes out otherwise.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { AccountCommandServiceClient } from '../src/gen/tallyback/account/v1/account_command_service.ts';
import {
  AccountQueryServiceClient,
  GetBalanceRequest,
  WatchBalancesRequest,
} from '../src/gen/tallyback/account/v1/account_query_service.ts';
import {
  GenerationState,
  ProjectionAdminServiceClient,
  RollbackRequest,
  type RollbackResponse,
  StartRebuildRequest,
  type StartRebuildResponse,
  WatchRebuildRequest,
  type WatchRebuildResponse,
} from '../src/gen/tallyback/admin/v1/projection_admin_service.ts';
import { closedLoop, latencies, median, openLoop } from './measure.ts';
import { tallyback } from './processes.ts';
import { adjustment, connect, unary } from './requests.ts';
import type { Result } from './result.ts';

const perSecond = 500;
/** Rebuilds, each after a while without one. */
const rounds = 5;
const members = 2_000;
const by = { projection: 'balance', operator: 'bench' };

/** `events` in the log before it begins. */
export async function rebuild(events: number): Promise<Result[]> {
  const server = await tallyback();
  const accounts = connect(AccountCommandServiceClient, server.address);
  const queries = connect(AccountQueryServiceClient, server.address);
  const admin = connect(ProjectionAdminServiceClient, server.address);
  let n = 0;
  const send = (): Promise<unknown> => {
    const request = adjustment(`member-${n++ % members}`, n);
    return unary(accounts.adjustBalance.bind(accounts), { ...request, adjustmentId: randomUUID() });
  };
  // Commands as fast as they go, until the log is about as long as it is to be.
  for (let sent = 0; sent < events; sent = n) await closedLoop(2, 256, send);

  const watch = watchAll(queries);
  const over = new AbortController();
  const asked = askAllTheTime(queries, over.signal);
  const under = async (work: Promise<unknown>): Promise<number[]> => {
    const samples: number[] = [];
    const answers: Promise<unknown>[] = [];
    const ended = new AbortController();
    const done = work.then(() => ended.abort());
    while (!ended.signal.aborted) {
      await openLoop(1, perSecond, (_, intended) => {
        answers.push(send().then(() => samples.push(performance.now() - intended)));
      });
    }
    await Promise.all([done, ...answers]);
    return samples;
  };

  await under(pause(3_000));
  // As many of one as of the other, and as long: where a single pause of the garbage collector falls decides the 99th
  // percentile of a few seconds.
  const [quiet, busy]: [number[], number[]] = [[], []];
  const lasted: number[] = [];
  for (let round = 0; round < rounds; round++) {
    quiet.push(...(await under(pause(lasted[0] ?? 8_000))));
    const began = performance.now();
    busy.push(...(await under(rebuildBalances(admin))));
    lasted.unshift(performance.now() - began);
  }
  const [before, during] = [latencies(quiet), latencies(busy)];
  const after = latencies(await under(rollBack(admin)));
  over.abort();
  const queried = await asked;
  const resets = await watch.end();
  for (const client of [accounts, queries, admin]) client.close();
  await server.stop();
  const peer = { name: 'before', value: before.p99, unit: 'ms' };
  const note = `p50 ${during.p50.toFixed(1)} ms and ${before.p50.toFixed(1)} ms; ${queried} queries, none failed; ${resets} resets of an open watch`;
  return [
    {
      name: `p99 of ${perSecond} commands/s while balances are folded anew`,
      value: during.p99,
      unit: 'ms',
      peer,
      note,
    },
    { name: 'p99 of the same while a rollback catches up and serves', value: after.p99, unit: 'ms', peer },
    { name: 'rebuild under that load, from asking to serving', value: median(lasted) / 1_000, unit: 's' },
  ];
}

async function rebuildBalances(admin: ProjectionAdminServiceClient): Promise<void> {
  const { generation } = await unary<StartRebuildRequest, StartRebuildResponse>(
    admin.startRebuild.bind(admin),
    StartRebuildRequest.fromPartial(by),
  );
  await served(admin, generation);
}

async function rollBack(admin: ProjectionAdminServiceClient): Promise<void> {
  const { generation } = await unary<RollbackRequest, RollbackResponse>(
    admin.rollback.bind(admin),
    RollbackRequest.fromPartial(by),
  );
  await served(admin, generation);
}

/** Throws if it ends otherwise, or compared otherwise. */
async function served(admin: ProjectionAdminServiceClient, generation: number): Promise<void> {
  const { projection } = by;
  const progress = admin.watchRebuild(WatchRebuildRequest.fromPartial({ projection, generation }));
  const seen: WatchRebuildResponse[] = [];
  progress.on('data', (message: WatchRebuildResponse) => seen.push(message));
  await once(progress, 'end');
  const last = seen.at(-1)?.generation;
  if (last?.state !== GenerationState.SERVING || (last.report?.differences ?? 0n) !== 0n)
    throw new Error(`generation ${generation} is in state ${last?.state}, or differs`);
}

/** Answers the number of queries; rejects with the first that fails. */
async function askAllTheTime(queries: AccountQueryServiceClient, signal: AbortSignal): Promise<number> {
  let count = 0;
  while (!signal.aborted) {
    const request = GetBalanceRequest.fromPartial({ member: `member-${count++ % members}`, currency: 'GBP' });
    await unary(queries.getBalance.bind(queries), request);
    await pause(5);
  }
  return count;
}

/** A watch of everything; `end` answers how often it began again, and rejects if it ended before. */
function watchAll(queries: AccountQueryServiceClient): { end(): Promise<number> } {
  const watch = queries.watchBalances(WatchBalancesRequest.fromPartial({}));
  let resets = 0;
  let failure: Error | undefined;
  watch.on('data', ({ event }: { event?: { $case: string } }) => {
    if (event?.$case === 'reset') resets++;
  });
  watch.on('error', (error) => (failure = error));
  return {
    async end() {
      if (failure) throw failure;
      watch.cancel();
      await pause(10);
      return resets;
    },
  };
}
