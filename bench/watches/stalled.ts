/** What clients that have stopped reading cost those that read. */
import { setTimeout as pause } from 'node:timers/promises';
import { AccountCommandServiceClient } from '../../src/gen/tallyback/account/v1/account_command_service.ts';
import { AccountQueryServiceClient } from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import { latencies, type Latencies, median, openLoop } from '../measure.ts';
import { tallyback } from '../processes.ts';
import { adjustment, connect, unary } from '../requests.ts';
import type { Result } from '../result.ts';
import { onBalance, openWatch } from './watcher.ts';

const perSecond = 200;

export async function stalled(rounds: number, seconds: number, each: number): Promise<Result[]> {
  const server = await tallyback();
  const commands = connect(AccountCommandServiceClient, server.address);
  const readers = connect(AccountQueryServiceClient, server.address);
  let member = 0;
  const sentAt = new Map<string, number>();
  const samples: number[] = [];
  /** All of it has been told to all who read when this resolves. */
  const send = async (duration: number, rate: number): Promise<Latencies> => {
    samples.length = 0;
    const answers: Promise<unknown>[] = [];
    await openLoop(duration, rate, () => {
      const request = adjustment(`member-${member}`, member++);
      sentAt.set(request.member, performance.now());
      answers.push(unary(commands.adjustBalance.bind(commands), request));
    });
    await Promise.all(answers);
    while (samples.length < answers.length * each) await pause(20);
    return latencies(samples);
  };
  const healthy = await Promise.all(Array.from({ length: each }, () => openWatch(readers)));
  for (const watch of healthy) {
    onBalance(watch, (name) => {
      samples.push(performance.now() - (sentAt.get(name) ?? NaN));
    });
  }
  const round = async (withStalled: boolean): Promise<Latencies> => {
    const sleepers = connect(AccountQueryServiceClient, server.address);
    const asleep = await Promise.all(
      Array.from({ length: withStalled ? each : 0 }, async () => {
        const watch = await openWatch(sleepers);
        watch.pause();
        return watch;
      }),
    );
    // Enough to fill all that lies between a server and a client that does not read.
    await send(4, 500);
    // One pause of the client that measures would be a hundredth of what it measures.
    sentAt.clear();
    globalThis.gc?.();
    const result = await send(seconds, perSecond);
    for (const watch of asleep) watch.cancel();
    sleepers.close();
    return result;
  };
  await round(false);
  const pairs: { readonly none: Latencies; readonly some: Latencies }[] = [];
  // In turns, and either first, so that what else the machine does meets both.
  for (let n = 0; n < rounds; n++) {
    const first = await round(n % 2 === 0);
    const second = await round(n % 2 !== 0);
    pairs.push(n % 2 === 0 ? { some: first, none: second } : { some: second, none: first });
  }
  for (const watch of healthy) watch.cancel();
  for (const client of [commands, readers]) client.close();
  await server.stop();
  const middle = (of: 'none' | 'some', what: keyof Latencies): number =>
    median(pairs.map((pair) => pair[of][what]));
  return (['p99', 'p50'] as const).map((what) => ({
    name: `command → message, ${each} watchers beside ${each} that have stopped reading, ${perSecond}/s`,
    value: middle('some', what),
    unit: `ms ${what}`,
    peer: { name: 'without those', value: middle('none', what), unit: 'ms' },
  }));
}
