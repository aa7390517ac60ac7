/** Durable unary commands per second, against a grpc-js echo of the same message. */
import {
  AccountCommandServiceClient,
  type AdjustBalanceRequest,
} from '../src/gen/tallyback/account/v1/account_command_service.ts';
import {
  OrderCommandServiceClient,
  type TrackOrderRequest,
} from '../src/gen/tallyback/order/v1/order_command_service.ts';
import { closedLoop, median } from './measure.ts';
import { echo, tallyback } from './processes.ts';
import { adjustment, connect, order, publishProgramme, unary } from './requests.ts';
import type { Result } from './result.ts';

const inFlight = 64;

/** What is sent, and over a connection of its own. */
const kinds = {
  'adjustments of a balance (one event each)': (address: string) => {
    const client = connect(AccountCommandServiceClient, address);
    const send = (n: number): Promise<unknown> =>
      unary(
        (q: AdjustBalanceRequest, done) => client.adjustBalance(q, done),
        adjustment(`member-${n % 1_000}`, n),
      );
    return { send, close: () => client.close() };
  },
  'orders of three lines (five events each, with what policies do)': (address: string) => {
    const client = connect(OrderCommandServiceClient, address);
    const send = (n: number): Promise<unknown> =>
      unary((q: TrackOrderRequest, done) => client.trackOrder(q, done), order(n));
    return { send, close: () => client.close() };
  },
} as const;

export async function commands(seconds: number): Promise<Result[]> {
  const [ours, bare] = [await tallyback(), await echo()];
  await publishProgramme(ours.address);
  const results: Result[] = [];
  let sent = 0;
  for (const [name, open] of Object.entries(kinds)) {
    const rate = async (address: string): Promise<number> => {
      const { send, close } = open(address);
      await closedLoop(1, inFlight, () => send(sent++));
      const { perSecond } = await closedLoop(seconds, inFlight, () => send(sent++));
      close();
      return perSecond;
    };
    const pairs: [number, number][] = [];
    // In turns, so that what else the machine does meets both.
    for (let round = 0; round < 3; round++) pairs.push([await rate(ours.address), await rate(bare.address)]);
    results.push({
      name: `unary commands, ${inFlight} in flight: ${name}`,
      value: median(pairs.map(([own]) => own)),
      unit: 'commands/s',
      peer: {
        name: 'grpc-js echo of the same message',
        value: median(pairs.map(([, limit]) => limit)),
        unit: 'calls/s',
      },
    });
  }
  await Promise.all([ours.stop(), bare.stop()]);
  return results;
}
