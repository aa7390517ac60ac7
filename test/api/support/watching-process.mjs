// A process of its own that watches and reads: `node watching-process.mjs ADDRESS METHOD-PATH REQUEST-IN-HEX`.
import { Client, credentials } from '@grpc/grpc-js';

const [address, path, request] = process.argv.slice(2);
const asIs = (bytes) => bytes;
const client = new Client(address, credentials.createInsecure());
const call = client.makeServerStreamRequest(path, asIs, asIs, Buffer.from(request, 'hex'));
call.once('data', () => console.log('watching'));
call.on('data', () => undefined);
call.on('error', ({ code }) => console.log(`ended with ${code}`));
