/** The peer of the command scenario: takes the same requests, answers with a receipt, does nothing. */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import {
  type AccountCommandServiceServer,
  AccountCommandServiceService,
} from '../src/gen/tallyback/account/v1/account_command_service.ts';
import {
  type OrderCommandServiceServer,
  OrderCommandServiceService,
} from '../src/gen/tallyback/order/v1/order_command_service.ts';

const server = new Server();
const receipt = { positionToken: 'x'.repeat(40), revision: 0n, duplicate: false, unchanged: false };
const trackOrder: OrderCommandServiceServer['trackOrder'] = (_call, callback) => callback(null, { receipt });
const adjustBalance: AccountCommandServiceServer['adjustBalance'] = (_call, callback) =>
  callback(null, { receipt });
server.addService({ trackOrder: OrderCommandServiceService.trackOrder }, { trackOrder });
server.addService({ adjustBalance: AccountCommandServiceService.adjustBalance }, { adjustBalance });
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.stdout.write(`echo on 127.0.0.1:${port}\n`);
});
process.on('SIGTERM', () => server.forceShutdown());
