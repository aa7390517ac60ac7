/**
 * From a command, and from its append, to the message on an open watch that tells of it, at a fixed rate: directly and by
 * way of a policy; on one instance, and between two on one Postgres, of which one projects and the other has to find out.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { AccountCommandServiceClient } from '../../src/gen/tallyback/account/v1/account_command_service.ts';
import { AccountQueryServiceClient } from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import { OrderCommandServiceClient } from '../../src/gen/tallyback/order/v1/order_command_service.ts';
import { accountStream, orderStream } from '../../src/domain/streams.ts';
import { startPostgres } from '../../src/operations/postgres/index.ts';
import { latencies, type Latencies, median, openLoop } from '../measure.ts';
import { echo, type Served, tallybackOn } from '../processes.ts';
import { adjustment, connect, order, publishProgramme, unary } from '../requests.ts';
import type { Result } from '../result.ts';
import { endOfLog, recordedAt } from './recorded.ts';
import { onBalance, openWatch } from './watcher.ts';

/** How long what a round has sent may be on its way after the last command. */
const longestWait = 30_000;
/** Of each kind, at each server. */
const warmUpCommands = 15_000;
const warmUpInFlight = 32;

/** Of orders the message tells what a policy did. */
type Kind = 'adjustment' | 'order of one line' | 'order of three lines';

interface Way {
  readonly name: string;
  readonly kind: Kind;
  readonly commands: Served;
  readonly watch: Served;
  /** Whether it has a log. */
  readonly stores: boolean;
}

export interface Latency {
  readonly fromSending: Latencies;
  /** From when Postgres, in the midst of the append, gave the event its time. None where nothing is stored. */
  readonly fromAppend: Latencies;
  readonly fromReceipt: Latencies;
}

let orders = 0;

/** Sends for a second, to warm up, and then measures for `seconds`. Throws if a change never comes. */
export async function measure(
  { kind, commands, watch: watched, stores }: Omit<Way, 'name'>,
  seconds: number,
  perSecond: number,
): Promise<Latency> {
  const accounts = connect(AccountCommandServiceClient, commands.address);
  const trackers = connect(OrderCommandServiceClient, commands.address);
  const queries = connect(AccountQueryServiceClient, watched.address);
  const end = stores ? await endOfLog(commands.address) : '';

  const told = new Map<string, { readonly at: number; readonly time: number }>();
  const watch = await openWatch(queries);
  onBalance(watch, (member) => {
    if (!told.has(member)) told.set(member, { at: performance.now(), time: Date.now() });
  });

  // Every command is for a member of its own, so that each message answers one; nothing about it is in a memory yet.
  const run = randomUUID();
  const sent: { readonly member: string; readonly stream: string; readonly at: number; receipt: number }[] =
    [];
  const answers: Promise<unknown>[] = [];
  await openLoop(1 + seconds, perSecond, (n) => {
    const member = `${run}-${n}`;
    const request = { ...order(orders++, kind === 'order of one line' ? 1 : 3), member };
    const direct = kind === 'adjustment';
    const stream = direct
      ? accountStream(member, request.currency)
      : orderStream(request.source, request.externalId);
    const command = { member, stream, at: performance.now(), receipt: NaN };
    // The first second warms up.
    if (n >= perSecond) sent.push(command);
    const answer: Promise<unknown> = direct
      ? unary(accounts.adjustBalance.bind(accounts), adjustment(member, n))
      : unary(trackers.trackOrder.bind(trackers), request);
    answers.push(answer.then(() => (command.receipt = performance.now())));
  });
  await Promise.all(answers);
  const last = performance.now();
  while (sent.some(({ member }) => !told.has(member))) {
    if (performance.now() - last > longestWait) throw new Error('some changes never came');
    await pause(20);
  }
  watch.cancel();
  for (const client of [accounts, trackers, queries]) client.close();
  const recorded = stores
    ? await recordedAt(commands.address, end, new Set(sent.map(({ stream }) => stream)))
    : new Map<string, number>();
  const since = (from: 'at' | 'receipt'): Latencies =>
    latencies(sent.map((command) => (told.get(command.member)?.at ?? NaN) - command[from]));
  return {
    fromSending: since('at'),
    // Both are whole milliseconds, rounded down.
    fromAppend: latencies(
      sent.map(({ member, stream }) => (told.get(member)?.time ?? NaN) - (recorded.get(stream) ?? NaN)),
    ),
    fromReceipt: since('receipt'),
  };
}

/**
 * A server that has only just been started is not what clients meet: its code is compiled while it runs, the last of it
 * after tens of thousands of commands. A number and not a time: however slow the machine is just now.
 */
async function warmUp({ address }: Served): Promise<void> {
  const accounts = connect(AccountCommandServiceClient, address);
  const trackers = connect(OrderCommandServiceClient, address);
  const queries = connect(AccountQueryServiceClient, address);
  const watch = await openWatch(queries);
  const run = randomUUID();
  let left = warmUpCommands;
  const worker = async (): Promise<void> => {
    while (left-- > 0) {
      await unary(accounts.adjustBalance.bind(accounts), adjustment(`${run}-${left}`, left));
      await unary(trackers.trackOrder.bind(trackers), { ...order(orders++), member: `${run}-${left}` });
    }
  };
  await Promise.all(Array.from({ length: warmUpInFlight }, worker));
  watch.cancel();
  for (const client of [accounts, trackers, queries]) client.close();
}

/** What two cores take so many of in a second. */
interface Rate {
  readonly perSecond: number;
  readonly kinds: readonly Kind[];
}

type Place = readonly [where: string, commands: Served, watch: Served];

export async function latency(rounds: number, seconds: number, rates: readonly Rate[]): Promise<Result[]> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tallyback-bench-'));
  const postgres = await startPostgres({ dataDir });
  const projects = await tallybackOn(postgres.url, ['api', 'projector', 'policies']);
  const bare = await echo();
  await publishProgramme(projects.address);

  const compare = async (places: readonly Place[]): Promise<Result[]> => {
    const results: Result[] = [];
    for (const rate of rates)
      results.push(...(await atRate(rate, waysOf(rate, places, bare), rounds, seconds)));
    return results;
  };
  await warmUp(projects);
  const alone = await compare([['one instance', projects, projects]]);
  // Not sooner: it takes its part of the processor also while nobody asks it for anything.
  const serves = await tallybackOn(postgres.url, ['api']);
  await warmUp(serves);
  const together = await compare([
    ['from the instance that projects to another', projects, serves],
    ['to the instance that projects from another', serves, projects],
  ]);

  await Promise.all([projects.stop(), serves.stop(), bare.stop()]);
  await postgres.stop();
  await rm(dataDir, { recursive: true, force: true });
  return [...alone, ...together];
}

const waysOf = ({ kinds }: Rate, places: readonly Place[], bare: Served): readonly [Way, ...Way[]] => [
  { name: 'echo', kind: 'adjustment', commands: bare, watch: bare, stores: false },
  ...kinds.flatMap((kind) =>
    places.map(([where, commands, watch]) => ({
      name: `${kind} → message, ${where}`,
      kind,
      commands,
      watch,
      stores: true,
    })),
  ),
];

async function atRate(
  { perSecond }: Rate,
  ways: readonly [Way, ...Way[]],
  rounds: number,
  seconds: number,
): Promise<Result[]> {
  const measured = new Map<Way, Latency[]>();
  // In turns, so that what else the machine does meets all.
  for (let round = 0; round < rounds; round++) {
    for (const way of ways)
      measured.set(way, [...(measured.get(way) ?? []), await measure(way, seconds, perSecond)]);
  }
  const middle = (way: Way, from: keyof Latency, what: 'p50' | 'p99'): number =>
    median((measured.get(way) ?? []).map((one) => one[from][what]));
  const both = (way: Way, from: keyof Latency): string =>
    `p50 ${middle(way, from, 'p50').toFixed(1)} ms, p99 ${middle(way, from, 'p99').toFixed(1)} ms`;
  const [limit, ...ours] = ways;
  return ours.map((way) => ({
    name: `${way.name}, ${perSecond}/s`,
    value: middle(way, 'fromAppend', 'p50'),
    unit: `ms p50, p99 ${middle(way, 'fromAppend', 'p99').toFixed(1)} ms`,
    peer: {
      name: 'grpc-js echo',
      value: middle(limit, 'fromSending', 'p50'),
      unit: `ms, p99 ${middle(limit, 'fromSending', 'p99').toFixed(1)} ms`,
    },
    note: `from sending ${both(way, 'fromSending')}; from the receipt ${both(way, 'fromReceipt')}`,
  }));
}
