/**
 * The one connection of a store. Whatever else goes wrong with a client (a channel that never comes back, a node found
 * that does not answer), a new one heals: after some failures in a row the client is replaced.
 */
import type { CallOptions, Metadata } from '@grpc/grpc-js';
import type { StreamsClient } from '../../gen/event_store/client/streams.ts';
import { EventStoreUnavailable } from '../port.ts';
import type { Edges } from '../edges.ts';
import { Client, type OpenedCall } from './client.ts';
import type { ConnectionSettings } from './connection-string.ts';
import { unavailable } from './errors.ts';

/** Failed calls in a row, of any kind, after which the client is replaced. */
const mostFailures = 5;

/** A call on the client that was current when it began. */
export interface ConnectedCall<T> extends OpenedCall<T> {
  /** Says that the call has failed without a definite answer. */
  readonly gaveUp: () => void;
}

export class Connection {
  readonly #settings: ConnectionSettings;
  readonly #edges: Edges;
  #client: Client;
  #failures = 0;
  #closed = false;

  constructor(settings: ConnectionSettings, edges: Edges) {
    this.#settings = settings;
    this.#edges = edges;
    this.#client = new Client(settings);
  }

  /** Rejects with EventStoreUnavailable if no node is found within the deadline. */
  async open<T>(
    begin: (streams: StreamsClient, metadata: Metadata, options: CallOptions) => T & { cancel(): void },
    requiresLeader: boolean,
  ): Promise<ConnectedCall<T>> {
    if (this.#closed) throw new EventStoreUnavailable('The event store is closed');
    const client = this.#client;
    const opening = client.open(begin, requiresLeader);
    let tooLate = false;
    const alarm = new Promise<never>((_, reject) => {
      const { stop } = this.#edges.alarm(this.#settings.defaultDeadline, () => {
        tooLate = true;
        reject(new EventStoreUnavailable('EventStoreDB: no node was found in time'));
      });
      opening.then(stop, stop);
    });
    // A call that begins after its caller has left is of no use.
    opening.then(
      ({ call }) => (tooLate || this.#closed) && call.cancel(),
      () => undefined,
    );
    try {
      const opened = await Promise.race([opening, alarm]);
      return { ...opened, gaveUp: () => this.#failed(client) };
    } catch (error) {
      this.#failed(client);
      throw unavailable(error);
    }
  }

  /** A server has answered something. */
  answered(): void {
    this.#failures = 0;
  }

  /** What happened on a client that has been replaced since says nothing of the one there is. */
  #failed(client: Client): void {
    if (client !== this.#client) return;
    this.#failures++;
    if (this.#failures < mostFailures || this.#closed) return;
    this.#failures = 0;
    try {
      this.#client = new Client(this.#settings);
    } catch {
      // A certificate file cannot be read just now: the old one is better than none.
      return;
    }
    client.retire();
  }

  close(): void {
    this.#closed = true;
    this.#client.retire();
  }
}
