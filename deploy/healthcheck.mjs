/** Ends with 0 if the server at 127.0.0.1, or at the address given, says over gRPC that it is serving. */
import { Client, credentials } from '@grpc/grpc-js';

const port = (process.env.TALLYBACK_LISTEN ?? '').split(':').at(-1) || '7420';
const client = new Client(process.argv[2] ?? `127.0.0.1:${port}`, credentials.createInsecure());

// grpc.health.v1.HealthCheckRequest of the whole server is empty; the answer begins with field 1, the status.
const serving = Buffer.of(0x08, 0x01);
client.makeUnaryRequest(
  '/grpc.health.v1.Health/Check',
  () => Buffer.alloc(0),
  (answer) => serving.equals(answer.subarray(0, 2)),
  {},
  { deadline: Date.now() + 4_000 },
  (error, isServing) => {
    if (error) console.error(error.message);
    process.exitCode = isServing === true ? 0 : 1;
    client.close();
  },
);
