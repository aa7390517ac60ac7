/** Changes delivered to many who watch everything, against plain server streaming of the same bytes in the same beat. */
import { setTimeout as pause } from 'node:timers/promises';
import { Client } from '@grpc/grpc-js';
import {
  AccountQueryServiceService,
  WatchBalancesRequest,
} from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import { median } from '../measure.ts';
import { fanOut as serverOf } from '../processes.ts';
import { connect } from '../requests.ts';
import type { Result } from '../result.ts';

const connections = 5;
/** Messages. */
const warmUp = 50_000;
const measured = 100_000;

interface Rate {
  readonly perSecond: number;
  /** In a second of the server's processor time: what the client can take has no part in it. */
  readonly perCpuSecond: number;
  readonly bytes: number;
}

async function rate(way: 'watch' | 'beat' | 'flood', watchers: number): Promise<Rate> {
  const server = await serverOf(way, watchers);
  const clients = Array.from({ length: connections }, () => connect(Client, server.address));
  const got = { count: 0, bytes: 0 };
  const { path, requestSerialize } = AccountQueryServiceService.watchBalances;
  // Not decoded: the client is to be as little in the way as it can.
  const streams = Array.from({ length: watchers }, (_, n) =>
    clients[n % connections]?.makeServerStreamRequest(
      path,
      requestSerialize,
      (message: Buffer) => message.length,
      WatchBalancesRequest.fromPartial({ options: { changesOnly: true } }),
    ),
  );
  for (const stream of streams) {
    stream?.on('error', () => undefined);
    stream?.on('data', (length: number) => {
      got.count++;
      got.bytes += length;
    });
  }
  const delivered = async (more: number): Promise<void> => {
    const until = got.count + more;
    while (got.count < until) await pause(5);
  };
  // A number and not a time: however slow the machine is just now, the code is to be compiled when it counts.
  await delivered(warmUp);
  const before = await server.usage();
  Object.assign(got, { count: 0, bytes: 0 });
  const start = performance.now();
  await delivered(measured);
  const elapsed = (performance.now() - start) / 1_000;
  const [sent, size] = [got.count, got.bytes / got.count];
  const cpu = ((await server.usage()).cpu - before.cpu) / 1_000;
  for (const client of clients) client.close();
  await server.stop();
  return { perSecond: sent / elapsed, perCpuSecond: sent / cpu, bytes: size };
}

export async function fanOut(rounds: number, watchers: number): Promise<Result[]> {
  const ways = ['watch', 'beat', 'flood'] as const;
  const rates = { watch: [] as Rate[], beat: [] as Rate[], flood: [] as Rate[] };
  // In turns, so that what else the machine does meets all.
  for (let round = 0; round < rounds; round++)
    for (const way of ways) rates[way].push(await rate(way, watchers));
  const middle = (way: (typeof ways)[number], of: keyof Rate): number =>
    median(rates[way].map((one) => one[of]));
  const note = `${Math.round(middle('watch', 'bytes'))} and ${Math.round(middle('beat', 'bytes'))} bytes a message`;
  const result = (name: string, of: keyof Rate, unit: string, peer: 'beat' | 'flood'): Result => ({
    name: `${name} to ${watchers} watchers on ${connections} connections`,
    value: middle('watch', of),
    unit,
    peer: {
      name: peer === 'beat' ? 'plain grpc-js in the same beat' : 'plain grpc-js, as fast as streams take it',
      value: middle(peer, of),
      unit,
    },
    note,
  });
  return [
    result('messages delivered', 'perSecond', 'messages/s', 'beat'),
    result('the same', 'perSecond', 'messages/s', 'flood'),
    result("the same, by the server's processor time,", 'perCpuSecond', 'messages/s of CPU', 'beat'),
  ];
}
