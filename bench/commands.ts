/** Durable unary commands per second, against a grpc-js echo of the same message. */
import { OrderCommandServiceClient } from '../src/gen/tallyback/order/v1/order_command_service.ts';
import { closedLoop, median } from './measure.ts';
import { echo, tallyback } from './processes.ts';
import { connect, order, publishProgramme, unary } from './requests.ts';
import type { Result } from './result.ts';

const inFlight = 64;

export async function commands(seconds: number): Promise<Result[]> {
  const [ours, bare] = [await tallyback(), await echo()];
  await publishProgramme(ours.address);
  let sent = 0;
  const rate = async (address: string): Promise<number> => {
    const client = connect(OrderCommandServiceClient, address);
    const send = (): Promise<unknown> => unary(client.trackOrder.bind(client), order(sent++));
    await closedLoop(1, inFlight, send);
    const { perSecond } = await closedLoop(seconds, inFlight, send);
    client.close();
    return perSecond;
  };
  const pairs: [number, number][] = [];
  // In turns, so that what else the machine does meets both.
  for (let round = 0; round < 3; round++) pairs.push([await rate(ours.address), await rate(bare.address)]);
  await Promise.all([ours.stop(), bare.stop()]);
  const [own, limit] = [median(pairs.map(([a]) => a)), median(pairs.map(([, b]) => b))];
  return [
    {
      name: `unary commands, ${inFlight} in flight (policies and projections running)`,
      value: own,
      unit: 'commands/s',
      peer: { name: 'grpc-js echo of the same message', value: limit, unit: 'calls/s' },
    },
  ];
}
