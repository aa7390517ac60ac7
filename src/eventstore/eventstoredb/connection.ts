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
  ): Promise<OpenedCall<T>> {
    if (this.#closed) throw new EventStoreUnavailable('The event store is closed');
    const opening = this.#client.open(begin, requiresLeader);
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
      return await Promise.race([opening, alarm]);
    } catch (error) {
      this.failed();
      throw unavailable(error);
    }
  }

  /** A server has answered something. */
  answered(): void {
    this.#failures = 0;
  }

  /** A call has failed without a definite answer. */
  failed(): void {
    this.#failures++;
    if (this.#failures < mostFailures || this.#closed) return;
    this.#failures = 0;
    const old = this.#client;
    this.#client = new Client(this.#settings);
    old.retire();
  }

  close(): void {
    this.#closed = true;
    this.#client.retire();
  }
}
