/** The network's faults are what they say they are. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FaultProxy } from './fault-proxy.ts';

let server: Server;
let proxy: FaultProxy;
let client: Socket;

beforeEach(async () => {
  // Says again what it hears, and goodbye when it hears no more.
  server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => socket.write(chunk));
    socket.on('end', () => socket.end('goodbye'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  proxy = await FaultProxy.listen((server.address() as AddressInfo).port);
  client = connect({ host: '127.0.0.1', port: proxy.port, allowHalfOpen: true });
  await once(client, 'connect');
});

afterEach(async () => {
  client.destroy();
  await proxy.close();
  server.close();
});

/** How long it takes until as much has come back as was sent. */
async function echoed(bytes: number): Promise<number> {
  const startedAt = performance.now();
  client.write(Buffer.alloc(bytes));
  for (let left = bytes; left > 0;) left -= ((await once(client, 'data')) as [Buffer])[0].length;
  return performance.now() - startedAt;
}

test('well, it passes everything, and the end of it', async () => {
  client.end('hello');
  expect(await text(client)).toBe('hellogoodbye');
});

test('delayed and throttled, everything comes late', async () => {
  await echoed(1);
  proxy.delay(50);
  expect(await echoed(1)).toBeGreaterThan(95);
  proxy.heal();
  proxy.throttle(100_000);
  expect(await echoed(10_000)).toBeGreaterThan(190);
});

test('cut, both ends are reset', async () => {
  await echoed(1);
  proxy.cut();
  await expect(once(client, 'data')).rejects.toThrow(/ECONNRESET/);
});

test('cut after some bytes, no more than those arrive', async () => {
  proxy.cutAfter(300);
  client.write(Buffer.alloc(200));
  const received: Buffer[] = [];
  client.on('data', (chunk) => received.push(chunk));
  await once(client, 'end');
  expect(Buffer.concat(received).length).toBeLessThanOrEqual(100);
});

test('half closed, the server hears an end that the client has not said', async () => {
  await echoed(1);
  proxy.halfClose('server');
  expect(await text(client)).toBe('goodbye');
});

test('silent, nothing comes until it is well again', async () => {
  proxy.stall();
  let took: number | undefined;
  const waiting = echoed(1).then((ms) => (took = ms));
  await pause(100);
  expect(took).toBeUndefined();
  proxy.heal();
  await waiting;
});
