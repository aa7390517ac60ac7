/** The servers of the API: all gRPC services on one port, event streams on another, and how they go down. */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { projectionAdminService } from './admin/service.ts';
import { commandServices } from './commands/services.ts';
import type { ApiContext, ApiDependencies } from './context.ts';
import { systemErrorId } from './edges.ts';
import { Rpc } from './handler.ts';
import { addHealthAndReflection } from './health.ts';
import { ingestService } from './ingest/service.ts';
import { hostIn, isLoopback, ListenError } from './listen.ts';
import { type ApiLimits, defaultLimits } from './limits.ts';
import { freshness } from './queries/consistency.ts';
import { queryServices } from './queries/services.ts';
import { type EventStreamOptions, type EventStreamServer, startEventStreams } from './sse/server.ts';
import { StopSignal } from './stop-signal.ts';
import type { WatchCounts } from './watch/counts.ts';
import { openWatches } from './watch/watches.ts';

export interface ApiServerOptions extends ApiDependencies {
  /** host:port; port 0: any free one. There is no TLS yet: keep it on loopback or behind something that has. */
  readonly listen: string;
  /** Where browsers may watch; undefined: nowhere. */
  readonly sse?: EventStreamOptions | undefined;
  readonly limits?: Partial<ApiLimits>;
  /** Names unexpected errors; default: random. */
  readonly newErrorId?: () => string;
}

export interface ApiServer {
  /** host:port as bound. */
  readonly address: string;
  /** HOST:PORT of the event streams as bound; undefined: there are none. */
  readonly sseAddress: string | undefined;
  /** What watches do, by the name that a browser asks for them by. */
  readonly watchCounts: Readonly<Record<string, WatchCounts>>;
  /**
   * Goes down: reports NOT_SERVING, ends watches and ingest streams with UNAVAILABLE, lets calls under way finish
   * for `graceMs` (default 10,000), then cuts them off. May be called again.
   */
  stop(graceMs?: number): Promise<void>;
}

export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const limits = { ...defaultLimits, ...options.limits };
  const stopping = new StopSignal();
  const rpc = new Rpc({ stopping, log: options.log, newErrorId: options.newErrorId ?? systemErrorId });
  const context: ApiContext = { ...options, limits, rpc };
  const fresh = freshness(context);
  const watches = openWatches(context, fresh);
  const services = [
    ...commandServices(context),
    ...queryServices(context, fresh, watches),
    ingestService(context),
    projectionAdminService(context),
  ];

  const server = new Server({
    'grpc.max_receive_message_length': limits.maxReceiveBytes,
    'grpc.max_send_message_length': limits.maxSendBytes,
    'grpc.max_concurrent_streams': limits.maxConcurrentStreams,
    // Off by default in grpc-js: without it a client that vanished is never noticed.
    'grpc.keepalive_time_ms': limits.keepaliveMs,
    'grpc.keepalive_timeout_ms': limits.keepaliveTimeoutMs,
    'grpc.max_connection_idle_ms': limits.connectionIdleMs,
    'grpc.max_connection_age_ms': limits.connectionAgeMs,
    'grpc.max_connection_age_grace_ms': limits.connectionAgeGraceMs,
    // Costs memory per stream, and nothing here exposes it.
    'grpc.enable_channelz': 0,
  });
  for (const { methods } of services) {
    const entries = Object.entries(methods);
    server.addService(
      Object.fromEntries(entries.map(([name, { definition }]) => [name, definition])),
      Object.fromEntries(entries.map(([name, { handler }]) => [name, handler])),
    );
  }
  const health = addHealthAndReflection(
    server,
    services.map(({ name }) => name),
    stopping,
  );

  const host = hostIn(options.listen);
  if (!isLoopback(host)) options.log(`the gRPC API listens on ${host} without TLS or authentication`);
  const port = await bind(server, options.listen);
  const streams = await openStreams().catch((error: unknown) => {
    server.forceShutdown();
    throw error;
  });
  health.set(true);
  const look = (): void => health.setProjections((options.failedProjections?.() ?? []).length === 0);
  look();
  const looking = setInterval(look, 1_000);

  let stopped: Promise<void> | undefined;
  return {
    address: `${host}:${port}`,
    sseAddress: streams?.address,
    watchCounts: Object.fromEntries(Object.entries(watches).map(([name, { counts }]) => [name, counts])),
    stop: (graceMs = 10_000) => (stopped ??= shutDown(graceMs)),
  };

  async function openStreams(): Promise<EventStreamServer | undefined> {
    if (!options.sse) return undefined;
    return startEventStreams(options.sse, { ...context, watches: { ...watches }, stopping });
  }

  async function shutDown(graceMs: number): Promise<void> {
    clearInterval(looking);
    health.set(false);
    health.setProjections(false);
    // Says goodbye to every connection, and destroys those that are still there when the grace is over. By itself
    // forceShutdown would not: without channelz grpc-js (1.14.7) does not know its connections there.
    server.drain(`${host}:${port}`, graceMs);
    const down = new Promise<void>((resolve) => {
      const late = setTimeout(() => {
        options.log('calls that did not end in time were cut off');
        server.forceShutdown();
        resolve();
      }, graceMs);
      server.tryShutdown(() => {
        clearTimeout(late);
        resolve();
      });
    });
    const streamsDown = streams?.stop(graceMs);
    // Nothing above waits less for open streams: end them.
    stopping.stop();
    await Promise.all([down, streamsDown]);
  }
}

const bind = (server: Server, address: string): Promise<number> =>
  new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
      if (error) reject(new ListenError(`cannot listen on ${address}: ${error.message}`));
      else resolve(port);
    });
  });
