/** The peer of commands and watches: takes the same requests, answers with messages of the same size, does nothing. */
import { Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import {
  type AccountCommandServiceServer,
  AccountCommandServiceService,
} from '../src/gen/tallyback/account/v1/account_command_service.ts';
import {
  AccountQueryServiceService,
  type WatchBalancesRequest,
  WatchBalancesResponse,
} from '../src/gen/tallyback/account/v1/account_query_service.ts';
import {
  type OrderCommandServiceServer,
  OrderCommandServiceService,
} from '../src/gen/tallyback/order/v1/order_command_service.ts';

const server = new Server({ 'grpc.max_concurrent_streams': 1_000, 'grpc.enable_channelz': 0 });
const receipt = { positionToken: 'x'.repeat(40), revision: 0n, duplicate: false, unchanged: false };
const watchers = new Set<ServerWritableStream<WatchBalancesRequest, WatchBalancesResponse>>();

const header = {
  sequence: 1_000n,
  positionToken: 'x'.repeat(40),
  resumeToken: 'x'.repeat(90),
  serverTime: new Date(),
};
const tell = (member: string): void => {
  const balance = { member, currency: 'GBP', availableMinor: 1n, adjustedMinor: 1n, changedAt: new Date() };
  const message = WatchBalancesResponse.fromPartial({
    header,
    event: { $case: 'changes', value: { balances: [balance] } },
  });
  for (const watcher of watchers) watcher.write(message);
};

const trackOrder: OrderCommandServiceServer['trackOrder'] = (_call, callback) => callback(null, { receipt });
const adjustBalance: AccountCommandServiceServer['adjustBalance'] = ({ request }, callback) => {
  callback(null, { receipt });
  tell(request.member);
};
const watchBalances = (call: ServerWritableStream<WatchBalancesRequest, WatchBalancesResponse>): void => {
  watchers.add(call);
  call.on('cancelled', () => watchers.delete(call));
  call.write(WatchBalancesResponse.fromPartial({ header, event: { $case: 'caughtUp', value: {} } }));
};

server.addService({ trackOrder: OrderCommandServiceService.trackOrder }, { trackOrder });
server.addService({ adjustBalance: AccountCommandServiceService.adjustBalance }, { adjustBalance });
server.addService({ watchBalances: AccountQueryServiceService.watchBalances }, { watchBalances });
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.stdout.write(`echo on 127.0.0.1:${port}\n`);
});
process.on('SIGTERM', () => process.exit());
