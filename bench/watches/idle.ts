/** What watches cost of which nothing happens: memory, and time when something happens that concerns none of them. */
import { setTimeout as pause } from 'node:timers/promises';
import { AccountCommandServiceClient } from '../../src/gen/tallyback/account/v1/account_command_service.ts';
import { AccountQueryServiceClient } from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import { median } from '../measure.ts';
import { echo, type Served, tallyback } from '../processes.ts';
import { adjustment, connect, unary } from '../requests.ts';
import type { Result } from '../result.ts';
import { openWatch, type Watch } from './watcher.ts';

const connections = 20;
/** A number and not a time, a few at a time: processor time is measured, however slow the machine is just now. */
const commands = 1_000;
const inFlight = 4;

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
  const accounts = connect(AccountCommandServiceClient, server.address);
  const used = async (
    work: () => Promise<unknown>,
  ): Promise<{ readonly cpu: number; readonly ms: number }> => {
    const [{ cpu }, start] = [await server.usage(), performance.now()];
    await work();
    return { cpu: (await server.usage()).cpu - cpu, ms: performance.now() - start };
  };
  // What heartbeats and leases cost meanwhile is not the command's.
  const silent = await used(() => pause(3_000));
  let left = commands;
  const worker = async (): Promise<void> => {
    while (left-- > 0)
      await unary(accounts.adjustBalance.bind(accounts), adjustment(`busy-${sent % 1_000}`, sent++));
  };
  const busy = await used(() => Promise.all(Array.from({ length: inFlight }, worker)));
  accounts.close();
  return (busy.cpu - (silent.cpu * busy.ms) / silent.ms) / commands;
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
