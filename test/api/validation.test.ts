import { Client, credentials, status, type StatusObject } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { registry } from '../../src/api/descriptors.ts';
import { validatorOf } from '../../src/api/validation.ts';
import { TrackOrderRequest } from '../../src/gen/tallyback/order/v1/order_command_service.ts';
import {
  ListWindowsRequest,
  WindowLength,
} from '../../src/gen/tallyback/figures/v1/figures_query_service.ts';
import { line, receiveStock, requestWithdrawal, trackOrder } from './support/requests.ts';
import {
  answered,
  failureOf,
  type Failure,
  refusedBy,
  startTestApi,
  type TestApi,
} from './support/server.ts';

let api: TestApi;
let raw: Client;
beforeAll(async () => {
  api = await startTestApi();
  raw = new Client(api.address, credentials.createInsecure());
});
afterAll(async () => {
  raw.close();
  await api.close();
});

const track = '/tallyback.order.v1.OrderCommandService/TrackOrder';
const encode = (request: TrackOrderRequest): Buffer =>
  Buffer.from(TrackOrderRequest.encode(request).finish());

/** Sends these very bytes. */
const send = (path: string, bytes: Buffer): Promise<Failure | 'OK'> =>
  new Promise((resolve) => {
    const call = raw.makeUnaryRequest(
      path,
      (b: Buffer) => b,
      (b: Buffer) => b,
      bytes,
      () => undefined,
    );
    call.on('status', (ended: StatusObject) => {
      resolve(ended.code === status.OK ? 'OK' : failureOf(ended));
    });
  });

describe('bytes that are no message', () => {
  const good = encode(trackOrder());
  test.each([
    ['cut off', good.subarray(0, good.length - 3)],
    ['of a wrong wire type', Buffer.from([0x0d, 1, 2, 3, 4])],
    ['a group that does not end', Buffer.from([0x0b, 0x08, 1])],
    ['a length beyond the end', Buffer.from([0x0a, 0xff, 0xff, 0xff, 0x07])],
    ['a varint without end', Buffer.alloc(20, 0xff)],
    ['not UTF-8', Buffer.from(good.toString('latin1').replace('order-1', 'order-\xff'), 'latin1')],
    [
      'half a surrogate pair',
      Buffer.from(good.toString('latin1').replace('order-1', 'orde\xed\xa0\x80'), 'latin1'),
    ],
    ['messages within messages without end', Buffer.alloc(4_000, Buffer.from([0x4a, 0x7e]))],
  ])('(%s) are INVALID_ARGUMENT, never INTERNAL', async (_, bytes) => {
    expect(await send(track, bytes)).toMatchObject({ code: 'INVALID_ARGUMENT', domain: 'tallyback' });
  });

  test('say so', async () => {
    expect(await send(track, good.subarray(0, good.length - 3))).toMatchObject({
      reason: 'MALFORMED_MESSAGE',
    });
    expect(await send(track, good)).toBe('OK');
  });

  test('a request larger than the limit is RESOURCE_EXHAUSTED', async () => {
    expect(await send(track, Buffer.alloc((4 << 20) + 1))).toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
  });

  test('random bytes are never INTERNAL', async () => {
    let seed = 1;
    const next = (): number => (seed = (seed * 48_271) % 2_147_483_647);
    for (let n = 0; n < 300; n++) {
      const bytes = Buffer.from(good);
      for (let i = 0; i < 3; i++) bytes[next() % bytes.length] = next() % 256;
      const answer = await send(track, bytes);
      expect(['OK', 'INVALID_ARGUMENT']).toContain(answer === 'OK' ? answer : answer.code);
    }
  });

  test('fields that this version does not know are ignored', async () => {
    const newer = Buffer.concat([good, Buffer.from([0xba, 0x3e, 3, 1, 2, 3])]);
    expect(await send(track, newer)).toBe('OK');
  });
});

describe('rules of the contract', () => {
  test.each([
    ['no request id', { requestId: '' }, 'request_id'],
    ['a request id that is none', { requestId: 'x'.repeat(36) }, 'request_id'],
    ['no time', { occurredAt: undefined }, 'occurred_at'],
    ['an absurd time', { occurredAt: new Date('9999-01-01') }, 'occurred_at'],
    ['a time before 1900', { occurredAt: new Date('1066-10-14') }, 'occurred_at'],
    ['a negative version', { sourceVersion: -1n }, 'source_version'],
    ['a currency that is none', { currency: 'EURO' }, 'currency'],
    ['a separator in a source', { source: 'a~b' }, 'source'],
    ['a control character', { externalId: 'a\u0000b' }, 'external_id'],
    ['an id that is too long', { externalId: 'x'.repeat(129) }, 'external_id'],
    ['no lines', { lines: [] }, 'lines'],
    ['a negative quantity', { lines: [line(1, { quantity: -1n })] }, 'lines[0].quantity'],
    ['a quantity that overflows', { lines: [line(1, { quantity: 2n ** 63n - 1n })] }, 'lines[0].quantity'],
    ['a negative price', { lines: [line(1), line(2, { unitPrice: '-1' })] }, 'lines[1].unit_price'],
    ['an exponent', { lines: [line(1, { unitPrice: '1e9' })] }, 'lines[0].unit_price'],
    ['line number 0', { lines: [line(0)] }, 'lines[0].line_no'],
  ] as const)('%s is INVALID_ARGUMENT and names the field', async (_, changes, field) => {
    const failure = await refusedBy(
      api.order,
      api.order.trackOrder,
      trackOrder({ ...changes, lines: [...('lines' in changes ? changes.lines : [line()])] }),
    );
    expect(failure).toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'INVALID_REQUEST', fields: [field] });
    expect(failure.message).toContain(field);
  });

  test('negative amounts and counts of zero are refused', async () => {
    const withdrawal = await refusedBy(
      api.account,
      api.account.requestWithdrawal,
      requestWithdrawal({ amountMinor: -1n }),
    );
    expect(withdrawal.fields).toEqual(['amount_minor']);
    const stock = await refusedBy(api.item, api.item.receiveStock, receiveStock({ quantity: 0n }));
    expect(stock.fields).toEqual(['quantity']);
  });

  test('enum values that are unknown, or say nothing, are refused', async () => {
    const path = '/tallyback.figures.v1.FiguresQueryService/ListWindows';
    const request = ListWindowsRequest.fromPartial({ length: WindowLength.DAY });
    const day = Buffer.from(ListWindowsRequest.encode(request).finish());
    const asked = (length: number): Promise<Failure | 'OK'> => {
      const bytes = Buffer.from(day);
      bytes[bytes.length - 1] = length;
      return send(path, bytes);
    };
    expect(await asked(2)).toBe('OK');
    for (const unknown of [0, 77]) {
      expect(await asked(unknown)).toMatchObject({ code: 'INVALID_ARGUMENT', fields: ['length'] });
    }
  });

  test('ids of any script, with separators and emoji, come through as they are', async () => {
    for (const externalId of [
      '日本-注文/1',
      'a~b%7Ec',
      '👩‍👩‍👧 "\\\'; DROP TABLE',
      'é'.normalize('NFD'),
      ' ',
      '..',
    ]) {
      await answered(api.order, api.order.trackOrder, trackOrder({ externalId, member: externalId }));
      expect(api.bus.requests.at(-1)?.command).toMatchObject({ externalId, member: externalId });
    }
  });

  test('an order of 10,000 lines gets one clear violation', async () => {
    const lines = Array.from({ length: 10_000 }, (_, n) => line(n + 1));
    const failure = await refusedBy(api.order, api.order.trackOrder, trackOrder({ lines }));
    expect(failure).toMatchObject({ code: 'INVALID_ARGUMENT', fields: ['lines'] });
  });

  test('10,000 violations make an error of at most 4 KB', async () => {
    const lines = Array.from({ length: 10_000 }, (_, n) => line(n + 1, { sku: '', quantity: 0n }));
    const failure = await refusedBy(api.order, api.order.trackOrder, trackOrder({ lines, source: '' }));
    expect(failure.code).toBe('INVALID_ARGUMENT');
    expect(Number(failure.metadata['violations'])).toBeGreaterThan(20_000);
    expect(failure.fields.length).toBeGreaterThan(5);
    expect(failure.fields.length).toBeLessThanOrEqual(20);
    expect(failure.detailBytes).toBeLessThanOrEqual(4_096);
    // The connection is none the worse.
    await answered(api.order, api.order.trackOrder, trackOrder());
  });
});

test('every method of the contract is served, and checked', () => {
  const methods = [...registry].flatMap((type) =>
    type.kind === 'service' && type.typeName.startsWith('tallyback.')
      ? type.methods.map(({ name }) => `/${type.typeName}/${name}`)
      : [],
  );
  expect(methods.length).toBeGreaterThan(35);
  for (const path of methods) expect(validatorOf(path)(new Uint8Array())).toHaveProperty('kind');
  expect(() => validatorOf('/tallyback.order.v1.OrderCommandService/Nothing')).toThrow('no method');
});

test('every method of the contract has a handler', async () => {
  const services = [...registry].filter(
    (type) => type.kind === 'service' && type.typeName.startsWith('tallyback.'),
  );
  for (const service of services) {
    if (service.kind !== 'service') continue;
    for (const method of service.methods.filter(({ methodKind }) => methodKind === 'unary')) {
      // Unknown methods are UNIMPLEMENTED; all of ours look at the request first.
      const answer = await send(`/${service.typeName}/${method.name}`, Buffer.from([0x0a, 0xff]));
      expect({ method: method.name, answer }).toMatchObject({ answer: { reason: 'MALFORMED_MESSAGE' } });
    }
  }
});
