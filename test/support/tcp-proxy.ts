/** A TCP proxy on loopback that can lose answers, freeze, and cut connections: the network's part in a test. */
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';

export class TcpProxy {
  /** Drops what the server sends; the client's bytes still arrive. */
  loseAnswers = false;
  /** Passes nothing either way, and keeps connections open. */
  frozen = false;
  /** Called once per chunk of an answer that was dropped. */
  onLost: () => void = () => undefined;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  readonly #server;

  private constructor(host: string, port: number) {
    this.#server = createServer((client) => {
      const server = connect({ host, port });
      const pair = [client, server] as const;
      this.#pairs.add(pair);
      client.on('data', (chunk) => {
        if (!this.frozen) server.write(chunk);
      });
      server.on('data', (chunk) => {
        if (this.loseAnswers) this.onLost();
        else if (!this.frozen) client.write(chunk);
      });
      for (const socket of pair) {
        socket.on('error', () => undefined);
        socket.on('close', () => {
          this.#pairs.delete(pair);
          for (const end of pair) end.destroy();
        });
      }
    });
  }

  /** A proxy in front of the server of a Postgres URL. */
  static async before(url: string): Promise<TcpProxy> {
    const { hostname, port } = new URL(url);
    const proxy = new TcpProxy(hostname, Number(port || 5432));
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  /** The same URL, through the proxy. */
  urlFor(url: string): string {
    const through = new URL(url);
    const address = this.#server.address() as AddressInfo;
    through.hostname = '127.0.0.1';
    through.port = `${address.port}`;
    return through.href;
  }

  cutAll(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  async close(): Promise<void> {
    this.cutAll();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
