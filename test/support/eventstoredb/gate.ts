/** A node's way out: a TCP port that can cut, freeze and refuse connections, in front of its gRPC server. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

interface Pair {
  readonly outer: Socket;
  readonly inner: Socket;
}

export class Gate {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #frozen = false;

  private constructor(innerPort: number) {
    this.#server = createServer((outer) => {
      const inner = connect({ host: '127.0.0.1', port: innerPort, noDelay: true });
      outer.setNoDelay(true);
      const pair = { outer, inner };
      this.#pairs.add(pair);
      for (const socket of [outer, inner]) {
        socket.on('error', () => undefined);
        socket.on('close', () => {
          this.#cut(pair);
        });
      }
      if (!this.#frozen) join(pair);
    });
  }

  /** Port 0 takes a free one. */
  static async open(innerPort: number, port: number): Promise<Gate> {
    const gate = new Gate(innerPort);
    gate.#server.listen(port, '127.0.0.1');
    await once(gate.#server, 'listening');
    return gate;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Connections stay, and no byte passes either way: a stopped process, or a dead network. */
  set frozen(frozen: boolean) {
    if (frozen === this.#frozen) return;
    this.#frozen = frozen;
    for (const pair of this.#pairs) {
      if (frozen) part(pair);
      else join(pair);
    }
  }

  cutAll(): void {
    for (const pair of this.#pairs) this.#cut(pair);
  }

  /** The connection whose inner end the gRPC server sees as this peer. */
  cut(peer: string): void {
    for (const pair of this.#pairs) {
      if (`127.0.0.1:${pair.inner.localPort}` === peer) this.#cut(pair);
    }
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.cutAll();
    await closed;
  }

  #cut(pair: Pair): void {
    if (!this.#pairs.delete(pair)) return;
    pair.outer.destroy();
    pair.inner.destroy();
  }
}

function join({ outer, inner }: Pair): void {
  outer.pipe(inner);
  inner.pipe(outer);
}

function part({ outer, inner }: Pair): void {
  outer.unpipe(inner).pause();
  inner.unpipe(outer).pause();
}
