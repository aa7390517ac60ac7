/**
 * A server on a cluster of three nodes that keeps failing, under load. `FAULT_COMMANDS` says how many commands
 * (100,000); each is asked again under its request id until it is answered.
 */
import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { CommandReceipt } from '../../src/gen/tallyback/common/v1/command.ts';
import {
  AdjustBalanceRequest,
  RequestWithdrawalRequest,
} from '../../src/gen/tallyback/account/v1/account_command_service.ts';
import { TrackOrderRequest } from '../../src/gen/tallyback/order/v1/order_command_service.ts';
import {
  PublishRuleSetRequest,
  ReleaseOn,
} from '../../src/gen/tallyback/programme/v1/programme_command_service.ts';
import { awaitEffects } from '../../src/main/client/effects.ts';
import { mayPass } from '../../src/main/client/errors.ts';
import { type Connection, connect } from '../../src/main/client/connect.ts';
import { patiently, RpcError, unary } from '../../src/main/client/unary.ts';
import {
  type AnswerSource,
  balanceKey,
  balanceRow,
  balancesAnswered,
  ordersAnswered,
  statementsAnswered,
  stockAnswered,
  windowsAnswered,
} from '../../src/main/demo/answers.ts';
import { recompute } from '../../src/main/demo/recompute.ts';
import { compare } from '../../src/main/demo/table.ts';
import { chance } from '../support/chance.ts';
import { type EventStoreDb, type LoggedEvent, startEventStoreDb } from '../support/eventstoredb/index.ts';
import { grouped } from '../support/grouped.ts';
import { startServer, type TallybackProcess } from '../support/tallyback-process.ts';
import { mischief } from './mischief.ts';

const total = Number(process.env['FAULT_COMMANDS'] ?? 100_000);
const inFlight = 2_000;
const members = 4_000;
const namespace = 'shop';
const { signal } = new AbortController();
setMaxListeners(0, signal);
const start = Date.UTC(2026, 0, 1);

type Answer = 'accepted' | 'refused';

let folder: string | undefined;
let cluster: EventStoreDb | undefined;
let server: TallybackProcess | undefined;
let connection: Connection | undefined;

afterEach(async () => {
  connection?.close();
  if (server?.child.exitCode === null && server.child.signalCode === null) await server.end('SIGKILL');
  await cluster?.close();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

/** Resident memory of a process in MiB; undefined where /proc does not tell. */
function residentMemory(pid: number | undefined): number | undefined {
  try {
    const kilobytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) / 1024;
  } catch {
    return undefined;
  }
}

/** The nth command: money for a member, an order of two lines, or a withdrawal that is often too large. */
function command({ accountCommands, orderCommands }: Connection, n: number, requestId: string) {
  const member = `m${n % members}`;
  const occurredAt = new Date(start + n * 1_000);
  const common = { requestId, member, currency: 'GBP', occurredAt };
  const options = { signal, deadlineMs: 20_000 };
  const kind = n % 20;
  if (kind < 4) {
    const lines = [1, 2].map((lineNo) => ({
      lineNo,
      sku: `sku${(n + 7 * lineNo) % 200}`,
      quantity: 1n,
      unitPrice: '10.00',
    }));
    const order = {
      ...common,
      source: 'net',
      externalId: `o${n}`,
      merchant: 'shop',
      sourceVersion: 1n,
      lines,
    };
    return unary(orderCommands, orderCommands.trackOrder, TrackOrderRequest.fromPartial(order), options);
  }
  if (kind < 7) {
    const request = { ...common, withdrawalId: `w${n}`, amountMinor: 40n };
    return unary(
      accountCommands,
      accountCommands.requestWithdrawal,
      RequestWithdrawalRequest.fromPartial(request),
      options,
    );
  }
  const request = {
    ...common,
    adjustmentId: `a${n}`,
    amountMinor: 5n,
    reason: 'test',
    requestedBy: 'ann',
    approvedBy: 'bob',
  };
  return unary(
    accountCommands,
    accountCommands.adjustBalance,
    AdjustBalanceRequest.fromPartial(request),
    options,
  );
}

/** Asks until there is an answer. */
async function settle(ask: () => Promise<{ readonly receipt: CommandReceipt | undefined }>): Promise<Answer> {
  for (;;) {
    try {
      await patiently(ask, 120_000, signal);
      return 'accepted';
    } catch (error) {
      if (!(error instanceof RpcError) || mayPass(error.failure)) throw error;
      return 'refused';
    }
  }
}

function requestIdOf({ metadata }: LoggedEvent): string {
  const read: unknown = JSON.parse(metadata);
  return typeof read === 'object' && read !== null && 'requestId' in read ? String(read.requestId) : '';
}

test(`${total} commands, all settled, each stored once or not at all; every read model right`, async () => {
  folder = mkdtempSync(join(tmpdir(), 'tallyback-faults-'));
  cluster = await startEventStoreDb({ nodes: 3, slowConsumers: 'drop' });
  const running = await startServer(folder, {
    TALLYBACK_EVENT_STORE: `${cluster.connectionString}&defaultDeadline=1000`,
    TALLYBACK_EVENT_STORE_NAMESPACE: namespace,
  });
  server = running;
  const client = connect(running.address);
  connection = client;
  const published = PublishRuleSetRequest.fromPartial({
    requestId: randomUUID(),
    merchant: 'shop',
    version: 1,
    occurredAt: new Date(start),
    ruleSet: {
      validFrom: new Date(start),
      rules: [{ ruleId: 'all', rateBps: 500 }],
      holdDays: 30,
      releaseOn: ReleaseOn.TRACKED,
    },
  });
  const { programmeCommands } = client;
  await unary(programmeCommands, programmeCommands.publishRuleSet, published, { signal });

  const well = new AbortController();
  const troubled = mischief(cluster, chance(20_261_121), well.signal);
  const requestIds = Array.from({ length: total }, () => randomUUID());
  const answers = new Map<string, Answer>();
  const memory: number[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < total) {
      const n = next++;
      const requestId = requestIds[n] ?? '';
      const answer = await settle(() => command(client, n, requestId));
      answers.set(requestId, answer);
      // What a client does that has lost the answer: the same again, later.
      if (n % 25 === 0) expect(await settle(() => command(client, n, requestId))).toBe(answer);
      if (n % Math.ceil(total / 20) === 0) memory.push(residentMemory(running.child.pid) ?? 0);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  well.abort();
  const acts = await troubled;
  console.log(`mischief: ${[...acts].map(([name, times]) => `${name} ${times}×`).join(', ')}`);
  console.log(`resident memory over the run, MiB: ${memory.map(Math.round).join(' ')}`);

  const token = await awaitEffects(client, { signal, lagPatienceMs: 300_000, patienceMs: 60_000 });
  const log = cluster.log.events().filter(({ stream }) => stream.startsWith(`${namespace}.`));
  const stored = grouped(log, requestIdOf);
  let [accepted, refused] = [0, 0];
  for (const [requestId, answer] of answers) {
    const events = stored.get(requestId) ?? [];
    const types = new Set(events.map(({ type }) => type));
    const ids = new Set(events.map(({ id }) => id));
    if (ids.size !== events.length) throw new Error(`request ${requestId} is stored twice`);
    if (answer === 'refused') {
      refused++;
      expect(events.map(({ type }) => type)).toEqual(['tallyback.events.v1.CommandRefused']);
    } else {
      accepted++;
      expect(events.length).toBeGreaterThan(0);
      expect(types.has('tallyback.events.v1.CommandRefused')).toBe(false);
    }
  }
  expect(answers.size).toBe(total);
  expect(accepted).toBeGreaterThan(total / 2);
  expect(refused).toBeGreaterThan(0);
  // Nothing that nobody asked for: every event is of a request, or of a policy because of one.
  const eventIds = new Set(log.map(({ id }) => id));
  for (const { metadata } of log) {
    const { requestId, $causationId } = JSON.parse(metadata) as { requestId: string; $causationId?: string };
    expect(
      answers.has(requestId) || requestId === published.requestId || eventIds.has($causationId ?? ''),
    ).toBe(true);
  }
  const orders = Array.from({ length: total }, (_, n) => n).filter((n) => n % 20 < 4).length;
  expect(log.filter(({ type }) => type.endsWith('.RebateAccrued'))).toHaveLength(orders);
  expect(log.filter(({ type }) => type.endsWith('.StockSold'))).toHaveLength(2 * orders);

  const from: AnswerSource = { connection: client, token, signal };
  const balances = await balancesAnswered(from);
  const expected = await recompute(log);
  const comparisons = [
    compare('balances', expected.balances, new Map(balances.map((b) => [balanceKey(b), balanceRow(b)]))),
    compare('statements', expected.statements, await statementsAnswered(from, balances)),
    compare('stock', expected.stock, await stockAnswered(from)),
    compare('orders', expected.orders, await ordersAnswered(from)),
    compare('windows', expected.windows, await windowsAnswered(from)),
  ];
  for (const { name, different, examples } of comparisons)
    expect(different, `${name} ${examples[0]}`).toBe(0);
  console.log(`${log.length} events, ${accepted} accepted, ${refused} refused; all read models agree`);

  // The caches fill in the first half; after that nothing may grow with the number of faults or commands.
  const [middle, last] = [memory[Math.floor(memory.length / 2)] ?? 0, memory.at(-1) ?? 0];
  expect(last).toBeLessThan(1.5 * middle + 100);
  expect(await running.end('SIGTERM')).toBe(0);
  expect(running.output()).not.toMatch(/unhandled|TypeError|is not a function/i);
});
