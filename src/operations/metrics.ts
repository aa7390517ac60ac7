/**
 * Figures for Prometheus: GET /metrics. What is about the state of things is looked up when it is asked for, so that a
 * part that hangs cannot go on showing its last happy value; of many who ask within a second the first one looks.
 */
import { createServer, type Server } from 'node:http';
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';

/** A figure and what it is of: labels have few values, never names of accounts, streams or members. */
export interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Figure {
  /** `tallyback_…`, in base units; ends in `_total` if it only grows. */
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  readonly samples: readonly Sample[];
}

export interface MetricsOptions {
  /** HOST:PORT; port 0: any that is free. */
  readonly listen: string;
  /** Looks up everything. What cannot be looked up now is left out. */
  readonly look: () => Promise<readonly Figure[]>;
  readonly log: (line: string) => void;
}

export interface MetricsServer {
  /** HOST:PORT. */
  readonly address: string;
  stop(): Promise<void>;
}

/** Milliseconds for which what was looked up is still good. */
const goodFor = 1_000;

/** Rejects if it cannot listen. */
export async function startMetrics({ listen, look, log }: MetricsOptions): Promise<MetricsServer> {
  const runtime = new Registry();
  collectDefaultMetrics({ register: runtime });
  let cached: { readonly at: number; readonly text: Promise<string> } | undefined;

  const text = (): Promise<string> => {
    const now = performance.now();
    if (cached && now - cached.at < goodFor) return cached.text;
    const made = look().then(async (figures) => `${await textOf(figures)}${await runtime.metrics()}`);
    cached = { at: now, text: made };
    made.catch(() => (cached = undefined));
    return made;
  };

  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0];
    if (request.method !== 'GET' || path !== '/metrics') {
      response.writeHead(path === '/metrics' ? 405 : 404).end();
      return;
    }
    text().then(
      (body) => response.writeHead(200, { 'content-type': runtime.contentType }).end(body),
      (error: unknown) => {
        log(`metrics cannot be looked up: ${String(error)}`);
        response.writeHead(503).end();
      },
    );
  });
  server.requestTimeout = 10_000;
  await listening(server, listen);
  return {
    address: addressOf(server),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Made anew for every look: what is gone is not shown any more. */
async function textOf(figures: readonly Figure[]): Promise<string> {
  const register = new Registry();
  for (const { name, help, labels, samples } of figures) {
    // Without labels, a figure would begin at 0: not known is not 0.
    if (samples.length === 0) continue;
    const options = { name, help, labelNames: labels, registers: [register] };
    if (name.endsWith('_total')) {
      const counter = new Counter(options);
      for (const { labels: of = {}, value } of samples) counter.inc(of, value);
    } else {
      const gauge = new Gauge(options);
      for (const { labels: of = {}, value } of samples) gauge.set(of, value);
    }
  }
  const text = await register.metrics();
  return text === '' ? '' : `${text.trimEnd()}\n\n`;
}

function listening(server: Server, listen: string): Promise<void> {
  const colon = listen.lastIndexOf(':');
  const host = listen.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(Number(listen.slice(colon + 1)), host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function addressOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('metrics have no address');
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `${host}:${address.port}`;
}
