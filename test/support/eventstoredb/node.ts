/** One node: its gRPC server, and the gate in front of it. It can be stopped, and comes back on the same port. */
import { randomUUID } from 'node:crypto';
import {
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import { clusterInfo, supportedMethods } from './answers.ts';
import { BatchAppendCall } from './batch-append.ts';
import { EventSink, type ReadCall } from './event-sink.ts';
import { Gate } from './gate.ts';
import { type Cluster, NodeContext } from './node-context.ts';
import { read } from './read.ts';
import { toReadOptions } from './read-options.ts';
import { refusals, statusOf } from './refusals.ts';
import { featuresService, gossipService, streamsService } from './services.ts';
import { Subscription } from './subscription.ts';
import { OneAnswer, toRefusal } from './unary.ts';
import { append, softDelete, tombstone } from './write-calls.ts';

export interface Tls {
  readonly cert: Buffer;
  readonly key: Buffer;
}

type Unary = (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => void;
type ClientStream = (call: ServerReadableStream<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => void;

/** As 24.10 lists them, of what there is here. */
const streams = 'event_store.client.streams.streams';
const methods = [
  { service: streams, method: 'read', features: ['position', 'events'] },
  { service: streams, method: 'append', features: [] },
  { service: streams, method: 'delete', features: [] },
  { service: streams, method: 'tombstone', features: [] },
  { service: streams, method: 'batchappend', features: ['deadline_duration'] },
  { service: 'event_store.client.gossip.gossip', method: 'read', features: [] },
  {
    service: 'event_store.client.server_features.serverfeatures',
    method: 'getsupportedmethods',
    features: [],
  },
] as const;

export class EventStoreDbNode {
  readonly index: number;
  readonly id = randomUUID();
  readonly #cluster: Cluster;
  readonly #context: NodeContext;
  readonly #members: () => readonly EventStoreDbNode[];
  readonly #credentials: ServerCredentials;
  #running: { readonly gate: Gate; readonly server: Server } | undefined;
  #port = 0;

  constructor(
    cluster: Cluster,
    index: number,
    members: () => readonly EventStoreDbNode[],
    tls: Tls | undefined,
  ) {
    this.#cluster = cluster;
    this.#context = new NodeContext(cluster, index);
    this.index = index;
    this.#members = members;
    this.#credentials = tls
      ? ServerCredentials.createSsl(null, [{ private_key: tls.key, cert_chain: tls.cert }])
      : ServerCredentials.createInsecure();
  }

  /** For all its life. */
  get port(): number {
    return this.#port;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  get isLeader(): boolean {
    return this.#cluster.leader === this.index;
  }

  async start(): Promise<void> {
    if (this.#running) return;
    const server = new Server({ 'grpc.max_receive_message_length': 17 * 1024 * 1024 });
    this.#addServices(server);
    const innerPort = await bind(server, this.#credentials);
    const gate = await Gate.open(innerPort, this.#port);
    this.#port = gate.port;
    this.#context.cut = (peer) => {
      gate.cut(peer);
    };
    this.#running = { gate, server };
  }

  /** As if killed: connections are reset, and the port refuses new ones. The log stays. */
  async stop(): Promise<void> {
    const running = this.#running;
    if (!running) return;
    this.#running = undefined;
    await running.gate.close();
    running.server.forceShutdown();
  }

  /** As on SIGTERM: open calls are told, before connections go. */
  async shutDown(): Promise<void> {
    const server = this.#running?.server;
    if (!server) return;
    for (const call of this.#cluster.calls.of(this.index)) call.refuse(refusals.cancelled());
    const grace = this.#context.delay(2_000);
    const told = new Promise((resolve) => {
      server.tryShutdown(resolve);
    });
    await Promise.race([told, grace]);
    await this.stop();
  }

  /** On the same port, with the same log, and without what only memory held. */
  async restart(): Promise<void> {
    await this.stop();
    if (this.isLeader) {
      this.#cluster.log.forgetRecentIds();
      this.#cluster.log.writeEpoch();
    }
    await this.start();
  }

  /** Resets what is connected; clients can connect again. */
  dropConnections(): void {
    this.#running?.gate.cutAll();
  }

  /** Connections stay and nothing passes, not even a keepalive: SIGSTOP, or a network that swallows packets. */
  freeze(): void {
    if (this.#running) this.#running.gate.frozen = true;
  }

  thaw(): void {
    if (this.#running) this.#running.gate.frozen = false;
  }

  #addServices(server: Server): void {
    const context = this.#context;
    const unary: Record<'getSupportedMethods' | 'gossip' | 'delete' | 'tombstone', Unary> = {
      getSupportedMethods: (call, callback) => {
        void new OneAnswer(context, 'features', call, callback).give({
          run: () => supportedMethods(methods, '24.10.0'),
        });
      },
      gossip: (call, callback) => {
        void new OneAnswer(context, 'gossip', call, callback).give({ run: () => this.#gossip() });
      },
      delete: (call, callback) => {
        softDelete(context, call, callback);
      },
      tombstone: (call, callback) => {
        tombstone(context, call, callback);
      },
    };
    const appendCall: ClientStream = (call, callback) => {
      append(context, call, callback);
    };
    server.addService(streamsService, {
      read: (call: ReadCall) => {
        this.#read(call);
      },
      append: appendCall,
      delete: unary.delete,
      tombstone: unary.tombstone,
      batchAppend: (call: ServerDuplexStream<Buffer, Buffer>) => new BatchAppendCall(context, call),
    });
    server.addService(gossipService, { read: unary.gossip });
    server.addService(featuresService, { getSupportedMethods: unary.getSupportedMethods });
  }

  #gossip(): Buffer {
    return clusterInfo(
      this.#members().map(({ id, isLeader, isRunning, port }) => ({
        id,
        isLeader,
        isAlive: isRunning,
        port,
      })),
    );
  }

  #read(call: ReadCall): void {
    const context = this.#context;
    try {
      const options = toReadOptions(call.request);
      const stream = options.stream ?? '$all';
      const sink = new EventSink(context, call, options.count === undefined ? 'subscribe' : 'read', stream);
      const refusal = context.refusalOf(call.metadata);
      if (refusal) sink.refuse(refusal);
      else if (options.count === undefined) void new Subscription(context, sink, options).run();
      else void read(context, sink, options);
    } catch (error) {
      call.emit('error', statusOf(toRefusal(error)));
    }
  }
}

function bind(server: Server, credentials: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, port) => {
      if (error) reject(error);
      else resolve(port);
    });
  });
}
