/** What watches cost of which nothing happens: memory, and time when something happens that concerns none of them. */
import { setTimeout as pause } from 'node:timers/promises';
import { AccountCommandServiceClient } from '../../src/gen/tallyback/account/v1/account_command_service.ts';
import { AccountQueryServiceClient } from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import { median, openLoop } from '../measure.ts';
import { echo, type Served, tallyback } from '../processes.ts';
import { adjustment, connect, unary } from '../requests.ts';
import type { Result } from '../result.ts';
import { openWatch, type Watch } from './watcher.ts';

const connections = 20;
const perSecond = 200;
const loadSeconds = 5;

/** Each of a member of its own, of whom nobody ever hears. */
async function openMany(address: string, count: number): Promise<{ close(): void }> {
  const clients = Array.from({ length: connections }, () => connect(AccountQueryServiceClient, address));
  const watches: Watch[] = [];
  const each = count / connections;
  await Promise.all(
    clients.map(async (client, c) => {
      for (let n = 0; n < each; n++) watches.push(await openWatch(client, [`idle-${c}-${n}`]));
    }),
  );
  return {
    close() {
      for (const watch of watches) watch.cancel();
      for (const client of clients) client.close();
    },
  };
}

interface Memory {
  readonly resident: number;
  readonly heap: number;
}

/** Bytes per watch. */
async function memory(server: Served, count: number, then?: () => Promise<void>): Promise<Memory> {
  // What is there only once is not what one more costs.
  const first = await openMany(server.address, connections);
  const before = await server.usage({ collect: true });
  const { close } = await openMany(server.address, count);
  await pause(2_000);
  const after = await server.usage({ collect: true });
  await then?.();
  close();
  first.close();
  return { resident: (after.resident - before.resident) / count, heap: (after.heap - before.heap) / count };
}

/** Milliseconds of the server's processor time for a command, and all that follows from it. */
async function perCommand(server: Served): Promise<number> {
  const commands = connect(AccountCommandServiceClient, server.address);
  const used = async (work: () => Promise<unknown>): Promise<number> => {
    const { cpu } = await server.usage();
    await work();
    return (await server.usage()).cpu - cpu;
  };
  const idle = await used(() => pause(loadSeconds * 1_000));
  const busy = await used(async () => {
    const answers: Promise<unknown>[] = [];
    await openLoop(loadSeconds, perSecond, (n) => {
      answers.push(unary(commands.adjustBalance.bind(commands), adjustment(`busy-${n % 1_000}`, sent++)));
    });
    await Promise.all(answers);
  });
  commands.close();
  return (busy - idle) / (loadSeconds * perSecond);
}

let sent = 0;

export async function idle(rounds: number, count: number): Promise<Result[]> {
  const ours: Memory[] = [];
  const bare: Memory[] = [];
  const costs: { readonly none: number; readonly many: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const server = await tallyback();
    await perCommand(server);
    const none = await perCommand(server);
    ours.push(
      await memory(server, count, async () => void costs.push({ none, many: await perCommand(server) })),
    );
    await server.stop();
    const peer = await echo();
    bare.push(await memory(peer, count));
    await peer.stop();
  }
  const kib = (of: readonly Memory[], what: keyof Memory): number =>
    median(of.map((one) => one[what])) / 1_024;
  const result = (name: string, what: keyof Memory): Result => ({
    name,
    value: kib(ours, what),
    unit: 'KiB',
    peer: { name: 'an open stream of grpc-js', value: kib(bare, what), unit: 'KiB' },
  });
  return [
    result(`memory of each of ${count} idle watches, resident`, 'resident'),
    result('the same, heap and buffers', 'heap'),
    {
      name: `processor time of a command that concerns none of ${count} watches`,
      value: median(costs.map(({ many }) => many)),
      unit: 'ms',
      peer: { name: 'nobody watches', value: median(costs.map(({ none }) => none)), unit: 'ms' },
    },
  ];
}
