/** A way to a server that breaks after so many bytes of it, wherever in a message that is. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

export interface CuttingProxy {
  readonly address: string;
  /** Connections that were cut. */
  readonly cuts: number;
}

/** `bytesOf` says how many bytes of the server's the next connection lets through; Infinity: all. */
export async function cuttingProxy(address: string, bytesOf: () => number): Promise<CuttingProxy> {
  const [host = '', port = ''] = address.split(':');
  const sockets = new Set<Socket>();
  let cuts = 0;
  const proxy = createServer((client) => {
    const server = connect(Number(port), host);
    let left = bytesOf();
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    client.on('data', (chunk) => server.write(chunk));
    server.on('data', (chunk: Buffer) => {
      if (left <= 0) return;
      left -= chunk.length;
      if (left > 0) client.write(chunk);
      else {
        cuts++;
        // What was let through still arrives.
        client.end(chunk.subarray(0, chunk.length + left));
        server.destroy();
      }
    });
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const bound = proxy.address();
  if (bound === null || typeof bound === 'string') throw new Error('no port');
  onTestFinished(() => {
    proxy.close();
    for (const socket of sockets) socket.destroy();
  });
  return {
    address: `127.0.0.1:${bound.port}`,
    get cuts() {
      return cuts;
    },
  };
}
