/** A way to the server that can be cut. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export async function cuttable(address: string): Promise<{ readonly target: string; cut(): void }> {
  const port = Number(address.split(':')[1]);
  const sockets = new Set<Socket>();
  const proxy = createServer((inside) => {
    const outside = connect(port, '127.0.0.1');
    for (const socket of [inside, outside]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
    inside.pipe(outside).pipe(inside);
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const bound = proxy.address();
  if (bound === null || typeof bound === 'string') throw new Error('no port');
  return {
    target: `127.0.0.1:${bound.port}`,
    cut() {
      proxy.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
