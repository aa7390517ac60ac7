/** The gRPC server: all services on one port, and how it goes down. */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { projectionAdminService } from './admin/service.ts';
import { commandServices } from './commands/services.ts';
import type { ApiContext, ApiDependencies } from './context.ts';
import { systemErrorId } from './edges.ts';
import { Rpc } from './handler.ts';
import { addHealthAndReflection } from './health.ts';
import { ingestService } from './ingest/service.ts';
import { type ApiLimits, defaultLimits } from './limits.ts';
import { freshness } from './queries/consistency.ts';
import { queryServices } from './queries/services.ts';
import { StopSignal } from './stop-signal.ts';
import { openWatches } from './watch/watches.ts';

export interface ApiServerOptions extends ApiDependencies {
  /** host:port; port 0: any free one. There is no TLS yet: keep it on loopback or behind something that has. */
  readonly listen: string;
  readonly limits?: Partial<ApiLimits>;
  /** Names unexpected errors; default: random. */
  readonly newErrorId?: () => string;
}

export interface ApiServer {
  /** host:port as bound. */
  readonly address: string;
  /**
   * Goes down: reports NOT_SERVING, ends watches and ingest streams with UNAVAILABLE, lets calls under way finish
   * for `graceMs` (default 10,000), then cuts them off. May be called again.
   */
  stop(graceMs?: number): Promise<void>;
}

const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

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

  const host = options.listen.slice(0, Math.max(0, options.listen.lastIndexOf(':')));
  if (!loopback.test(host)) options.log(`the gRPC API listens on ${host} without TLS or authentication`);
  const port = await bind(server, options.listen);
  health.set(true);
  const look = (): void => health.setProjections((options.failedProjections?.() ?? []).length === 0);
  look();
  const looking = setInterval(look, 1_000);

  let stopped: Promise<void> | undefined;
  return {
    address: `${host}:${port}`,
    stop: (graceMs = 10_000) => (stopped ??= shutDown(graceMs)),
  };

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
    // Nothing above waits less for open streams: end them.
    stopping.stop();
    await down;
  }
}

/** The address to listen on is taken, or cannot be had. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

const bind = (server: Server, address: string): Promise<number> =>
  new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
      if (error) reject(new ListenError(`cannot listen on ${address}: ${error.message}`));
      else resolve(port);
    });
  });
