/** From the moment a command was due to be sent to the message on an open watch, at a fixed rate. */
import { randomUUID } from 'node:crypto';
import { AccountCommandServiceClient } from '../src/gen/tallyback/account/v1/account_command_service.ts';
import {
  AccountQueryServiceClient,
  WatchBalancesRequest,
} from '../src/gen/tallyback/account/v1/account_query_service.ts';
import { OrderCommandServiceClient } from '../src/gen/tallyback/order/v1/order_command_service.ts';
import { latencies, type Latencies, openLoop } from './measure.ts';
import { tallyback } from './processes.ts';
import { adjustment, connect, order, publishProgramme, unary } from './requests.ts';
import type { Result } from './result.ts';

/** Every command is for a member of its own, so that each message answers one command. */
async function measure(
  address: string,
  seconds: number,
  perSecond: number,
  send: (member: string, n: number) => Promise<unknown>,
): Promise<Latencies> {
  const queries = connect(AccountQueryServiceClient, address);
  const due = new Map<string, number>();
  const samples: number[] = [];
  const watch = queries.watchBalances(WatchBalancesRequest.fromPartial({}));
  const live = new Promise<void>((resolve) => {
    watch.on(
      'data',
      ({ event }: { event?: { $case: string; value: { balances?: { member: string }[] } } }) => {
        if (event?.$case === 'snapshotCompleted') resolve();
        for (const { member } of event?.value.balances ?? []) {
          const intended = due.get(member);
          if (intended === undefined) continue;
          due.delete(member);
          samples.push(performance.now() - intended);
        }
      },
    );
  });
  watch.on('error', () => undefined);
  await live;
  const run = randomUUID();
  const answers: Promise<unknown>[] = [];
  await openLoop(seconds, perSecond, (n, intended) => {
    const member = `${run}-${n}`;
    // The first second warms up.
    if (n >= perSecond) due.set(member, intended);
    answers.push(send(member, n));
  });
  await Promise.all(answers);
  for (let waits = 0; due.size > 0 && waits < 500; waits++) {
    await new Promise((resolve) => {
      setTimeout(resolve, 10);
    });
  }
  watch.cancel();
  queries.close();
  if (due.size > 0) throw new Error(`${due.size} changes never came`);
  return latencies(samples);
}

export async function latency(seconds: number): Promise<Result[]> {
  const server = await tallyback();
  await publishProgramme(server.address);
  const accounts = connect(AccountCommandServiceClient, server.address);
  const orders = connect(OrderCommandServiceClient, server.address);
  const results: Result[] = [];
  let orderCount = 0;
  for (const perSecond of [200, 500]) {
    const direct = await measure(server.address, seconds, perSecond, (member, n) =>
      unary(accounts.adjustBalance.bind(accounts), adjustment(member, n)),
    );
    const withPolicy = await measure(server.address, seconds, perSecond, (member) =>
      unary(orders.trackOrder.bind(orders), { ...order(orderCount++), member }),
    );
    for (const [what, { p50, p99, max }] of [
      ['adjustment → balance', direct],
      ['order → policy → balance', withPolicy],
    ] as const) {
      results.push({
        name: `${what}, ${perSecond}/s`,
        value: p50,
        unit: 'ms p50',
        note: `p99 ${p99.toFixed(1)} ms, max ${max.toFixed(1)} ms`,
      });
    }
  }
  accounts.close();
  orders.close();
  await server.stop();
  return results;
}
