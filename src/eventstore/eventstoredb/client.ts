/**
 * The client package, used for what it does well: finding the cluster's leader, TLS, credentials, keepalive, going to
 * another node when one fails. Appends and reads are calls of our own on its channel (protocol in
 * third_party/event_store), because its own lose or alter what we send: it parses JSON and writes it anew, never
 * gives up a batch append, mixes up the answers of several clients, and crashes on an answer it does not expect.
 *
 * Only this file imports it.
 */
import { readFileSync } from 'node:fs';
import {
  type DNSClusterOptions,
  EventStoreDBClient,
  type GossipClusterOptions,
  type SingleNodeOptions,
} from '@eventstore/db-client';
import type { CallOptions, Metadata } from '@grpc/grpc-js';
import { StreamsClient } from '../../gen/event_store/client/streams.ts';
import type { ConnectionSettings } from './connection-string.ts';

export interface OpenedCall<T> {
  readonly call: T;
  /**
   * Tells the client why the call ended: it may have to turn to another node, and has once this resolves, which it
   * always does. Not for calls we have cancelled.
   */
  readonly failed: (error: Error) => Promise<void>;
}

export class Client extends EventStoreDBClient {
  #streams: StreamsClient | undefined;
  #isRetired = false;

  /** Reads the certificate files; throws if one cannot be read. */
  constructor(settings: ConnectionSettings) {
    super(
      endpointsOf(settings),
      {
        insecure: !settings.tls,
        ...(settings.tlsCaFile === undefined ? {} : { rootCertificate: readFileSync(settings.tlsCaFile) }),
        ...(settings.userCertFile === undefined ? {} : { userCertFile: readFileSync(settings.userCertFile) }),
        ...(settings.userKeyFile === undefined ? {} : { userKeyFile: readFileSync(settings.userKeyFile) }),
      },
      settings.credentials,
    );
  }

  /** Starts a call on the current node, finding one first if there is none. Rejects if none is found. */
  async open<T>(
    begin: (streams: StreamsClient, metadata: Metadata, options: CallOptions) => T,
    requiresLeader: boolean,
  ): Promise<OpenedCall<T>> {
    return this.execute(StreamsClient, 'tallyback', async (streams) => {
      if (this.#isRetired) {
        streams.close();
        throw new Error('this connection is not used any more');
      }
      this.#streams = streams;
      // The bounds on our calls are our own: a subscription has none, a batch of appends one each.
      const [metadata, options] = this.callArguments({ requiresLeader }, { deadline: Infinity });
      // It throws for errors that lack what it expects; such an error tells it nothing.
      const failed = (error: Error): Promise<void> => this.handleError(streams, error).catch(() => undefined);
      return Promise.resolve({ call: begin(streams, metadata, options), failed });
    });
  }

  /** Lets the channel go. Calls under way end when they end. */
  retire(): void {
    this.#isRetired = true;
    this.#streams?.close();
  }
}

function endpointsOf(settings: ConnectionSettings): SingleNodeOptions {
  const { keepAliveInterval, keepAliveTimeout, defaultDeadline, connectionName } = settings;
  const { nodePreference, maxDiscoverAttempts, discoveryInterval, gossipTimeout } = settings;
  const client = { keepAliveInterval, keepAliveTimeout, defaultDeadline, connectionName };
  const discovery = { nodePreference, maxDiscoverAttempts, discoveryInterval, gossipTimeout };
  const [first = { address: '', port: 0 }] = settings.hosts;
  switch (settings.cluster) {
    case 'none':
      return { endpoint: first, ...client };
    // The constructor takes any of three kinds of options; its type knows only one at a time.
    case 'hosts':
      return { endpoints: [...settings.hosts], ...discovery, ...client } as GossipClusterOptions &
        SingleNodeOptions;
    case 'dns':
      return { discover: first, ...discovery, ...client } as DNSClusterOptions & SingleNodeOptions;
  }
}
