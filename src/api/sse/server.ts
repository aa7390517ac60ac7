/**
 * Watches for browsers: GET /watch/NAME gives an event stream (text/event-stream) over plain HTTP/1.1. The same
 * watches as over gRPC, with the same requests (as the URL's query), tokens, rules, limits and ends.
 *
 * EventSource connects again by itself after a 200 that ends, with the last `id` as Last-Event-ID, and never after another
 * status. So what makes sense again later is a 200 that says `end` at once, and what does not is a status.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { status } from '@grpc/grpc-js';
import { requestDescriptor, responseDescriptor } from '../descriptors.ts';
import { ApiError, toErrorBody } from '../errors.ts';
import type { Rpc } from '../handler.ts';
import type { ApiLimits } from '../limits.ts';
import { hostIn, isLoopback, ListenError } from '../listen.ts';
import type { StopSignal } from '../stop-signal.ts';
import type { WatchMethod } from '../watch/watch-method.ts';
import { EventFormat } from './event-format.ts';
import { EventStream, streamHeaders } from './event-stream.ts';
import { Guard } from './guard.ts';
import { requestOf } from './parameters.ts';

export interface EventStreamOptions {
  /** HOST:PORT; port 0: any that is free. */
  readonly listen: string;
  /** The one origin other than this server's own whose pages may read; undefined: none. */
  readonly origin?: string | undefined;
}

export interface EventStreamParts {
  /** By the last part of their paths. */
  readonly watches: Readonly<Record<string, WatchMethod>>;
  readonly limits: ApiLimits;
  readonly rpc: Rpc;
  readonly stopping: StopSignal;
  readonly log: (line: string) => void;
}

export interface EventStreamServer {
  /** HOST:PORT as bound. */
  readonly address: string;
  /** Takes no more connections; resolves when all are closed. After `graceMs` those that are left are cut off. */
  stop(graceMs: number): Promise<void>;
}

/** Of a request's line and headers together, in bytes. */
const maxHeaderBytes = 16 * 1024;
/** Requests on one connection, and of these behind one that does not end. */
const maxRequests = 1_000;
const maxRequestsBehind = 8;

const methods = 'GET, HEAD, OPTIONS';

const httpStatus: Partial<Record<status, number>> = {
  [status.INVALID_ARGUMENT]: 400,
  [status.OUT_OF_RANGE]: 400,
  [status.PERMISSION_DENIED]: 403,
  [status.NOT_FOUND]: 404,
  [status.UNIMPLEMENTED]: 405,
};

/** Rejects with ListenError if it cannot listen. */
export async function startEventStreams(
  { listen, origin }: EventStreamOptions,
  parts: EventStreamParts,
): Promise<EventStreamServer> {
  const { limits, rpc, stopping, log } = parts;
  const guard = new Guard(listen, origin);
  const routes = new Map(
    Object.entries(parts.watches).map(([name, watch]) => {
      const { path } = watch.definition;
      const format = new EventFormat(responseDescriptor(path));
      return [`/watch/${name}`, { watch, request: requestDescriptor(path), format }];
    }),
  );
  /** Connections that have asked for nothing yet: browsers open some in advance, and Node takes them for busy. */
  const unused = new Set<Socket>();
  /** Connections on which a stream goes on, and how many requests wait behind it. */
  const streaming = new WeakMap<Socket, number>();

  const server = createServer(
    {
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: limits.requestMs,
      requestTimeout: limits.requestMs,
      connectionsCheckingInterval: Math.min(1_000, limits.requestMs),
      // So that a browser that vanished is noticed although nothing is sent.
      keepAlive: true,
      keepAliveInitialDelay: limits.keepaliveMs,
    },
    (request, response) => {
      unused.delete(request.socket);
      const behind = streaming.get(request.socket);
      if (behind !== undefined) {
        // The stream says that nothing comes after it. It is not to be harmed, nor to let requests pile up.
        streaming.set(request.socket, behind + 1);
        if (behind >= maxRequestsBehind) request.socket.destroy();
        return;
      }
      answer(request, response).catch((error: unknown) => refuse(request, response, error));
    },
  );
  server.on('connection', (socket) => {
    unused.add(socket);
    socket.on('close', () => unused.delete(socket));
  });
  server.maxConnections = limits.maxEventStreamConnections;
  server.maxRequestsPerSocket = maxRequests;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, headers, url = '' } = request;
    response.setHeader('x-content-type-options', 'nosniff');
    for (const [name, value] of Object.entries(guard.headers(headers))) response.setHeader(name, value);
    guard.check(headers);
    const [path = '', ...rest] = url.split('?');
    const route = routes.get(path);
    if (!route)
      throw new ApiError(status.NOT_FOUND, 'NO_SUCH_WATCH', `watches are ${[...routes.keys()].join(', ')}`);
    if (method === 'OPTIONS') return preflight(response);
    if (method !== 'GET' && method !== 'HEAD')
      throw new ApiError(status.UNIMPLEMENTED, 'METHOD_NOT_ALLOWED', `only ${methods}`);
    if ((headers['content-length'] ?? '0') !== '0' || headers['transfer-encoding'] !== undefined)
      throw new ApiError(status.INVALID_ARGUMENT, 'BODY_NOT_TAKEN', 'a watch is asked for without a body');
    const search = rest.join('?');
    const lastEventId = headers['last-event-id'];
    const bytes = requestOf(route.request, lastEventId ? resumed(search, String(lastEventId)) : search);
    const run = route.watch.prepare(bytes);
    if (method === 'HEAD') return void response.writeHead(200, streamHeaders).end();
    // A stream has no end that another request could wait for.
    streaming.set(request.socket, 0);
    response.setHeader('connection', 'close');
    await show(new EventStream(response, route.format, stopping), run, request, response);
  }

  async function show(
    stream: EventStream,
    run: (viewer: EventStream) => Promise<void>,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    try {
      stream.ending.throwIfOver();
      await run(stream);
      response.end();
    } catch (error) {
      if (response.destroyed) return;
      const cause = rpc.conclude(error, stream.ending, pathOf(request));
      const body = toErrorBody(cause);
      if (!stream.begun && body.retryAfterMs === undefined) throw cause;
      stream.end(body);
    } finally {
      stream.dispose();
    }
  }

  function refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    if (response.headersSent || response.destroyed) return void response.destroy();
    const cause = rpc.explain(error, pathOf(request));
    if (cause.code === status.UNIMPLEMENTED) response.setHeader('allow', methods);
    const text = JSON.stringify(toErrorBody(cause));
    response
      .writeHead(httpStatus[cause.code] ?? 500, {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(text),
        'cache-control': 'no-store',
      })
      .end(text);
  }

  if (!isLoopback(hostIn(listen)))
    log(`the event streams listen on ${hostIn(listen)} without TLS or authentication`);
  await listening(server, listen);
  return { address: addressOf(server), stop: (graceMs) => stop(server, unused, graceMs) };
}

function preflight(response: ServerResponse): void {
  response.setHeader('allow', methods);
  if (response.hasHeader('access-control-allow-origin')) {
    response.setHeader('access-control-allow-methods', 'GET');
    response.setHeader('access-control-allow-headers', 'Last-Event-ID');
    response.setHeader('access-control-max-age', '600');
  }
  response.writeHead(204).end();
}

/** Where it stopped is newer than what the URL says: a browser repeats the URL as it is. */
function resumed(search: string, lastEventId: string): string {
  const others = search
    .split('&')
    .filter((parameter) => parameter !== '' && !/^options\.(resumeToken|resume_token)=/.test(parameter));
  return [...others, `options.resumeToken=${encodeURIComponent(lastEventId)}`].join('&');
}

/** Without the query, which may name members. */
const pathOf = ({ url = '' }: IncomingMessage): string => url.split('?')[0] ?? '';

function stop(server: Server, unused: ReadonlySet<Socket>, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const late = setTimeout(() => server.closeAllConnections(), graceMs);
    server.close(() => {
      clearTimeout(late);
      resolve();
    });
    for (const socket of unused) socket.destroy();
  });
}

function listening(server: Server, listen: string): Promise<void> {
  const host = hostIn(listen);
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(new ListenError(`cannot listen on ${listen}: ${error.message}`)));
    server.listen(Number(listen.slice(host.length + 1)), host.replace(/^\[(.*)\]$/, '$1'), () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}

function addressOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new ListenError('event streams have no address');
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `${host}:${address.port}`;
}
