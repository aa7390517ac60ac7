import { Client, credentials, type ClientReadableStream } from '@grpc/grpc-js';
import { loadFileDescriptorSetFromBuffer } from '@grpc/proto-loader';
import { service as healthService } from 'grpc-health-check';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import { descriptorBytes } from '../../src/api/descriptors.ts';
import { StopSignal } from '../../src/api/stop-signal.ts';
import { balance } from '../../src/projections/index.ts';
import { ReadConsistency } from '../../src/gen/tallyback/common/v1/consistency.ts';
import { gate } from './support/bus.ts';
import { balanceRow, receiveStock } from './support/requests.ts';
import { answered, ask, startTestApi, tokens, type TestApi, until } from './support/server.ts';
import { at } from './support/tables.ts';
import { Watching } from './support/watching.ts';

let api: TestApi;
afterEach(() => api.close());

test('a stop ends watches with UNAVAILABLE, and lets a call under way finish', async () => {
  api = await startTestApi();
  api.tables.commit(balance, at(1), [balanceRow('ann')]);
  const watching = new Watching(api.accountQuery);
  await watching.caughtUp();
  const { opened, open } = gate();
  api.bus.behaviour = async () => {
    await opened;
    return api.bus.accept();
  };
  const underWay = ask(api.item, api.item.receiveStock, receiveStock());
  await until(() => api.bus.running === 1);

  const stopped = api.server.stop(5_000);
  await until(() => watching.ended !== undefined);
  expect(watching.ended).toMatchObject({ code: 'UNAVAILABLE', reason: 'SERVER_STOPPING', retryMs: 1_000 });
  const late = await ask(api.account, api.account.releaseDue, {
    requestId: '',
    member: '',
    currency: '',
    occurredAt: undefined,
  });
  expect(late).toMatchObject({ ok: false, code: 'UNAVAILABLE' });
  open();
  expect(await underWay).toMatchObject({ ok: true });
  const before = Date.now();
  await stopped;
  expect(Date.now() - before).toBeLessThan(1_000);
  expect(api.log).toEqual([]);
  await api.server.stop();
});

test('a stop ends waiting queries, and cuts off what does not end in time', async () => {
  api = await startTestApi();
  api.state.head = at(10);
  const consistency = ReadConsistency.fromPartial({
    atLeast: tokens.encode(at(5)),
    maxWait: { seconds: 60n, nanos: 0 },
  });
  const waiting = ask(api.accountQuery, api.accountQuery.getBalance, {
    member: 'ann',
    currency: 'EUR',
    consistency,
  });
  api.bus.behaviour = () => new Promise(() => undefined);
  const hanging = ask(api.item, api.item.receiveStock, receiveStock());
  await until(() => api.bus.running === 1 && api.tables.waiterCount === 1);
  await api.server.stop(100);
  expect(await waiting).toMatchObject({ ok: false, code: 'UNAVAILABLE', reason: 'SERVER_STOPPING' });
  expect(await hanging).toMatchObject({ ok: false, code: expect.stringMatching(/CANCELLED|UNAVAILABLE/) });
  expect(api.log).toEqual(['calls that did not end in time were cut off']);
});

test('a call that outlasts its deadline is DEADLINE_EXCEEDED, and the server goes on', async () => {
  api = await startTestApi();
  const { opened, open } = gate();
  api.bus.behaviour = async () => {
    await opened;
    throw new Error('too late for anybody');
  };
  expect(await ask(api.item, api.item.receiveStock, receiveStock(), 100)).toMatchObject({
    ok: false,
    code: 'DEADLINE_EXCEEDED',
  });
  open();
  await delay(20);
  api.bus.behaviour = async () => api.bus.accept();
  await answered(api.item, api.item.receiveStock, receiveStock());
});

test('a handler that throws at once is INTERNAL', async () => {
  api = await startTestApi();
  api.bus.behaviour = () => {
    throw new TypeError('secret');
  };
  const answer = await ask(api.item, api.item.receiveStock, receiveStock());
  expect(answer).toMatchObject({ ok: false, code: 'INTERNAL' });
  expect(JSON.stringify(answer)).not.toContain('secret');
});

test('a port that is taken is an error, not a crash', async () => {
  api = await startTestApi();
  await expect(startTestApi({ listen: api.address })).rejects.toThrow(/EADDRINUSE|bind/i);
});

interface HealthStatus {
  readonly status: string;
}

test('health tells of the server and of each service, and ends its own streams', async () => {
  const failed: string[] = [];
  api = await startTestApi({ failedProjections: () => failed });
  const client = new Client(api.address, credentials.createInsecure());
  const { Check: check, Watch: watch } = healthService;
  if (!check || !watch) throw new Error('no health service');
  const healthOf = (service: string): Promise<HealthStatus> =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        check.path,
        check.requestSerialize,
        check.responseDeserialize,
        { service },
        (error, value) => {
          if (error) reject(error);
          else resolve(value as HealthStatus);
        },
      );
    });
  expect(await healthOf('')).toMatchObject({ status: 'SERVING' });
  expect(await healthOf('tallyback.order.v1.OrderCommandService')).toMatchObject({ status: 'SERVING' });
  await expect(healthOf('nothing')).rejects.toMatchObject({ code: 5 });

  // A projection that has failed takes nothing else out.
  expect(await healthOf('projections')).toMatchObject({ status: 'SERVING' });
  failed.push('balance/1');
  await expect
    .poll(() => healthOf('projections'), { timeout: 5_000 })
    .toMatchObject({ status: 'NOT_SERVING' });
  expect(await healthOf('')).toMatchObject({ status: 'SERVING' });
  failed.pop();
  await expect.poll(() => healthOf('projections'), { timeout: 5_000 }).toMatchObject({ status: 'SERVING' });

  const open = (): ClientReadableStream<HealthStatus> =>
    client.makeServerStreamRequest(watch.path, watch.requestSerialize, watch.responseDeserialize, {
      service: '',
    }) as ClientReadableStream<HealthStatus>;
  // One that has left is not held on to until the server stops.
  const forgot = vi.spyOn(StopSignal.prototype, 'forget');
  onTestFinished(() => forgot.mockRestore());
  const left = open();
  left.on('error', () => undefined);
  left.on('data', () => left.cancel());
  await until(() => forgot.mock.calls.length === 1);

  const seen: string[] = [];
  const stream = open();
  let code: number | undefined;
  stream.on('data', ({ status }: HealthStatus) => seen.push(status));
  stream.on('error', () => undefined);
  stream.on('status', (status) => (code = status.code));
  await until(() => seen.length === 1);
  // Longer than the test may take.
  await api.server.stop(60_000);
  await until(() => code !== undefined);
  expect(seen).toEqual(['SERVING', 'NOT_SERVING']);
  expect(code).toBe(14);
  client.close();
});

test.each(['v1', 'v1alpha'])('reflection (%s) lists the services and describes them', async (version) => {
  api = await startTestApi();
  const client = new Client(api.address, credentials.createInsecure());
  // The reflection service's own messages, by hand: list_services = 7, file_containing_symbol = 4.
  const symbol = 'tallyback.account.v1.AccountQueryService';
  const replies: Buffer[] = [];
  const call = client.makeBidiStreamRequest(
    `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
    (bytes: Buffer) => bytes,
    (bytes: Buffer) => bytes,
  );
  call.on('data', (bytes: Buffer) => replies.push(bytes));
  call.on('error', () => undefined);
  call.write(Buffer.from([0x3a, 0]));
  call.write(Buffer.concat([Buffer.from([0x22, symbol.length]), Buffer.from(symbol)]));
  await until(() => replies.length === 2);
  const [list = '', file = ''] = replies.map((bytes) => bytes.toString('latin1'));
  const services = Object.entries(loadFileDescriptorSetFromBuffer(descriptorBytes))
    .filter(([name, definition]) => name.startsWith('tallyback.') && !('format' in definition))
    .map(([name]) => name);
  expect(services).toHaveLength(13);
  for (const name of services) expect(list).toContain(name);
  expect(file).toContain('WatchBalances');
  call.end();
  client.close();
});
