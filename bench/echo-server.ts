/** The peer of the command scenario: takes the same request, answers with a receipt, does nothing. */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import {
  type OrderCommandServiceServer,
  OrderCommandServiceService,
  TrackOrderResponse,
} from '../src/gen/tallyback/order/v1/order_command_service.ts';

const server = new Server();
const answer = TrackOrderResponse.fromPartial({
  receipt: { positionToken: 'x'.repeat(40), revision: 0n, duplicate: false, unchanged: false },
});
const trackOrder: OrderCommandServiceServer['trackOrder'] = (_call, callback) => callback(null, answer);
server.addService({ trackOrder: OrderCommandServiceService.trackOrder }, { trackOrder });
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.stdout.write(`echo on 127.0.0.1:${port}\n`);
});
process.on('SIGTERM', () => server.forceShutdown());
