/** What is scraped: from a server of this file's own, and from a real one. */
import { mkdtempSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { WatchBalancesRequest } from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import { connect } from '../../src/main/client/connect.ts';
import { type Figure, startMetrics } from '../../src/operations/metrics.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { startTallyback } from '../support/tallyback-process.ts';

const scrape = async (address: string): Promise<string> => {
  const answer = await fetch(`http://${address}/metrics`);
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toContain('text/plain; version=0.0.4');
  return answer.text();
};

/** Every sample by name and labels; throws on a line that is none. */
function samples(text: string): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const match = /^([a-z][a-zA-Z0-9_:]*(?:\{[^}]*\})?) (\S+)$/.exec(line);
    if (!match) throw new Error(`not a sample: ${line}`);
    found.set(match[1] ?? '', Number(match[2]));
  }
  return found;
}

test('looks when it is asked, once a second at most; what is gone is not shown, and a failure is no figure', async () => {
  let looks = 0;
  let answer: (() => Promise<readonly Figure[]>) | undefined;
  const lines: string[] = [];
  const server = await startMetrics({
    listen: '127.0.0.1:0',
    look: () => {
      looks++;
      return answer?.() ?? Promise.resolve([]);
    },
    log: (line) => lines.push(line),
  });
  onTestFinished(() => server.stop());
  answer = () =>
    Promise.resolve([
      {
        name: 'tallyback_apples_total',
        help: 'Apples.',
        labels: ['kind'],
        samples: [{ labels: { kind: 'a"b' }, value: 3 }],
      },
    ]);
  const texts = await Promise.all(Array.from({ length: 20 }, () => scrape(server.address)));
  expect(looks).toBe(1);
  expect(new Set(texts).size).toBe(1);
  expect(samples(texts[0] ?? '').get('tallyback_apples_total{kind="a\\"b"}')).toBe(3);
  expect(texts[0]).toContain('# TYPE tallyback_apples_total counter');

  answer = undefined;
  await expect.poll(() => scrape(server.address), { timeout: 5_000 }).not.toContain('apples');
  answer = () => Promise.reject(new Error('no'));
  const status = async (path: string, method = 'GET'): Promise<number> =>
    (await fetch(`http://${server.address}${path}`, { method })).status;
  await expect.poll(() => status('/metrics'), { timeout: 5_000 }).toBe(503);
  expect(lines.join()).toContain('no');
  expect(await status('/')).toBe(404);
  expect(await status('/metrics', 'POST')).toBe(405);
});

test('a real server shows how it does', { timeout: 60_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tallyback-metrics-'));
  const database = await createTestDatabase();
  const server = startTallyback(
    ['serve', '--data', folder, '--listen', '127.0.0.1:0', '--metrics', '127.0.0.1:0'],
    {
      DATABASE_URL: database.url,
      TALLYBACK_AUDIT_ROWS_PER_SECOND: '50',
    },
  );
  onTestFinished(async () => {
    await server.end('SIGTERM');
    await database.drop();
    rmSync(folder, { recursive: true, force: true });
  });
  let address: string | undefined;
  while (address === undefined) {
    await Promise.race([once(server.child.stdout ?? server.child, 'data'), server.exited]);
    address = /http:\/\/(\S+)\/metrics/.exec(server.output())?.[1];
    if (address === undefined && server.child.exitCode !== null) throw new Error(server.output());
  }
  const at = address;
  // Leases come with the first beats, the audit a moment later.
  await expect
    .poll(() => scrape(at), { timeout: 20_000, interval: 500 })
    .toMatch(/tallyback_audit_last_success_timestamp_seconds \d[\s\S]*/);
  await expect
    .poll(async () => samples(await scrape(at)).get('tallyback_leases_led'), {
      timeout: 20_000,
      interval: 500,
    })
    .toBe(7 + 2 + 1);
  const text = await scrape(at);
  const figures = samples(text);
  expect(figures.get('tallyback_projection_state{read_model="balance",state="live"}')).toBe(1);
  expect(figures.get('tallyback_projection_state{read_model="balance",state="failed"}')).toBe(0);
  expect(figures.get('tallyback_projection_led{read_model="stock"}')).toBe(1);
  expect(figures.get('tallyback_projection_lag_events{read_model="orders"}')).toBe(0);
  expect(figures.get('tallyback_policy_lag_events{policy="order-rebate"}')).toBe(0);
  expect(figures.get('tallyback_projection_parked_events{read_model="figures"}')).toBe(0);
  expect(figures.get('tallyback_up{part="event_log"}')).toBe(1);
  expect(
    Math.abs((figures.get('tallyback_audit_last_success_timestamp_seconds') ?? 0) - Date.now() / 1_000),
  ).toBeLessThan(30);
  for (const name of ['process_resident_memory_bytes', 'nodejs_eventloop_lag_p99_seconds'])
    expect(figures.get(name)).toBeGreaterThan(0);
  expect(text).toContain('nodejs_gc_duration_seconds');

  // Watches are those that its clients have.
  const grpc = /gRPC on (\S+)/.exec(server.output())?.[1] ?? '';
  const connection = connect(grpc);
  onTestFinished(() => connection.close());
  const watching = connection.accounts.watchBalances(WatchBalancesRequest.fromPartial({}));
  watching.on('error', () => undefined).resume();
  const watches = async (): Promise<number | undefined> =>
    samples(await scrape(at)).get('tallyback_watches_open{watch="balances",transport="grpc"}');
  expect(figures.get('tallyback_watches_open{watch="balances",transport="grpc"}')).toBe(0);
  await expect.poll(watches, { timeout: 10_000 }).toBe(1);
  watching.cancel();
  await expect.poll(watches, { timeout: 10_000 }).toBe(0);
  const after = samples(await scrape(at));
  expect(after.get('tallyback_watches_ended_total{reason="client_left"}')).toBe(1);

  // Ours begin with our name, say what they are, and their labels have few values.
  const own = [...figures.keys()].filter((name) => name.startsWith('tallyback_'));
  expect(own.length).toBeLessThan(200);
  for (const name of own) expect(text).toContain(`# HELP ${name.replace(/\{.*/, '')} `);
});
