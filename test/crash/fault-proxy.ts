/** A TCP proxy on loopback whose network can be bad: slow, narrow, cut off, half closed, or silent. */
import { once, setMaxListeners } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  /** Aborted when the link is gone: whatever waits for it ends. */
  readonly gone: AbortController;
}

export class FaultProxy {
  /** Where connections go; those there are stay where they are. */
  targetPort: number;
  #delayMs = 0;
  #bytesPerSecond = Infinity;
  /** Bytes that still pass before everything is cut. */
  #bytesLeft = Infinity;
  /** While set nothing passes, and connections stay open. */
  #silence: AbortController | undefined;
  readonly #links = new Set<Link>();
  readonly #server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));

  private constructor(targetPort: number) {
    this.targetPort = targetPort;
  }

  static async listen(targetPort: number): Promise<FaultProxy> {
    const proxy = new FaultProxy(targetPort);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Every chunk comes so much later. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  throttle(bytesPerSecond: number): void {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Both ends get an end and a reset, at once. */
  cut(): void {
    for (const link of this.#links) reset(link);
  }

  /** After so many more bytes, in the midst of a message most likely. */
  cutAfter(bytes: number): void {
    this.#bytesLeft = bytes;
  }

  /** One end hears that the other has nothing more to say; the other way stays open. */
  halfClose(side: 'client' | 'server'): void {
    for (const link of this.#links) link[side].end();
  }

  stall(): void {
    this.#silence ??= withoutLimit(new AbortController());
  }

  /** A good network again; what was held back arrives. */
  heal(): void {
    this.#delayMs = 0;
    this.#bytesPerSecond = Infinity;
    this.#bytesLeft = Infinity;
    this.#silence?.abort();
    this.#silence = undefined;
  }

  async close(): Promise<void> {
    this.cut();
    this.heal();
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }

  #accept(client: Socket): void {
    const server = connect({ host: '127.0.0.1', port: this.targetPort, allowHalfOpen: true });
    const link: Link = { client, server, gone: withoutLimit(new AbortController()) };
    this.#links.add(link);
    for (const socket of [client, server]) {
      socket.setNoDelay();
      socket.on('error', () => reset(link));
      socket.once('close', () => {
        this.#links.delete(link);
        reset(link);
      });
    }
    void this.#forward(link, client, server);
    void this.#forward(link, server, client);
  }

  async #forward(link: Link, from: Socket, to: Socket): Promise<void> {
    const { signal } = link.gone;
    try {
      for await (const chunk of from.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        const passing = chunk.subarray(0, Math.max(0, this.#bytesLeft));
        this.#bytesLeft -= chunk.length;
        const ms = this.#delayMs + (chunk.length / this.#bytesPerSecond) * 1_000;
        if (ms > 0) await pause(ms, undefined, { signal });
        const silence = this.#silence?.signal;
        if (silence) await Promise.race([once(silence, 'abort'), once(signal, 'abort')]);
        signal.throwIfAborted();
        if (!to.write(passing)) await once(to, 'drain', { signal });
        if (passing.length < chunk.length) this.cut();
      }
      to.end();
    } catch {
      reset(link);
    }
  }
}

/** Many wait for one of these; that is no leak. */
function withoutLimit(controller: AbortController): AbortController {
  setMaxListeners(0, controller.signal);
  return controller;
}

function reset({ client, server, gone }: Link): void {
  if (gone.signal.aborted) return;
  gone.abort();
  client.resetAndDestroy();
  server.resetAndDestroy();
}
