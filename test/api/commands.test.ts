import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CommandUnavailable } from '../../src/application/commands.ts';
import { positionTrailer } from '../../src/api/errors.ts';
import { ReleaseOn } from '../../src/gen/tallyback/programme/v1/programme_command_service.ts';
import { ReleaseOn as StoredReleaseOn } from '../../src/gen/tallyback/events/v1/programme.ts';
import { noon, receiveStock, requestWithdrawal, trackOrder } from './support/requests.ts';
import { answered, ask, refusedBy, startTestApi, tokens, type TestApi } from './support/server.ts';
import { at } from './support/tables.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.close());
beforeEach(() => {
  api.bus.behaviour = async () => api.bus.accept();
  api.bus.requests.length = 0;
});

describe('a command', () => {
  test('is mapped, carried out and answered with a receipt, whose token is in the trailer too', async () => {
    const request = trackOrder({ requestId: '3F2504E0-4F89-41D3-9A0C-0305E82C3301' });
    const answer = await ask(api.order, api.order.trackOrder, request);
    if (!answer.ok) throw new Error(answer.message);
    const { receipt } = answer.response;
    expect(receipt).toMatchObject({ revision: 0n, duplicate: false, unchanged: false });
    expect(tokens.decode(receipt?.positionToken ?? '')).toEqual(at(api.bus.position));
    expect(answer.trailers.get(positionTrailer)).toEqual([receipt?.positionToken]);
    expect(api.bus.requests).toEqual([
      {
        aggregate: 'order',
        requestId: '3f2504e0-4f89-41d3-9a0c-0305e82c3301',
        contentHash: expect.stringMatching(/^[\w-]{22}$/),
        command: {
          kind: 'track',
          source: 'shop',
          externalId: 'order-1',
          at: noon,
          merchant: 'shop',
          member: 'ann',
          currency: 'EUR',
          sourceVersion: 1n,
          lines: [
            {
              lineNo: 1,
              sku: 'sku-1',
              category: 'product',
              quantity: 2n,
              unitPrice: '2.55',
              orderedAt: undefined,
              service: false,
            },
          ],
        },
      },
    ]);
  });

  test('has a content hash of what was asked, not of the request id', async () => {
    const send = (changes: Parameters<typeof trackOrder>[0]) =>
      answered(api.order, api.order.trackOrder, trackOrder(changes));
    await send({});
    await send({ requestId: randomUUID() });
    await send({ externalId: 'order-2' });
    const [first, again, other] = api.bus.requests.map(({ contentHash }) => contentHash);
    expect(again).toBe(first);
    expect(other).not.toBe(first);
  });

  test('takes zero for "all" and "the next", and the clock for a time left out', async () => {
    await answered(api.account, api.account.requestWithdrawal, requestWithdrawal());
    await answered(api.programme, api.programme.publishRuleSet, {
      requestId: randomUUID(),
      merchant: 'shop',
      version: 0,
      ruleSet: {
        validFrom: noon,
        priority: 0,
        rules: [{ ruleId: 'all', categories: [], skus: [], excludedSkus: [], rateBps: 500 }],
        holdDays: 30,
        releaseOn: ReleaseOn.CONFIRMED,
      },
    });
    expect(api.bus.requests.map(({ command }) => command)).toMatchObject([
      { kind: 'request-withdrawal', amountMinor: undefined, minimumMinor: 0n },
      { kind: 'publish-rule-set', version: undefined, at: expect.any(Date), releaseOn: 2 },
    ]);
    expect(ReleaseOn).toEqual(StoredReleaseOn);
  });

  test.each([
    ['not-found', 'NOT_FOUND', 'ResourceInfo'],
    ['already-exists', 'ALREADY_EXISTS', 'ResourceInfo'],
    ['precondition', 'FAILED_PRECONDITION', 'PreconditionFailure'],
    ['invalid', 'INVALID_ARGUMENT', 'BadRequest'],
  ] as const)('refused as %s is %s, with the reason and the position', async (refusalClass, code, type) => {
    api.bus.behaviour = async () => api.bus.refuse('SOME_REASON', refusalClass);
    const failure = await refusedBy(api.item, api.item.receiveStock, receiveStock());
    expect(failure).toMatchObject({
      code,
      reason: 'SOME_REASON',
      domain: 'tallyback',
      message: 'because of SOME_REASON',
      types: ['ErrorInfo', type],
    });
    const [token] = failure.trailers.get(positionTrailer);
    expect(tokens.decode(String(token))).toEqual(at(api.bus.position));
  });

  test.each([{ duplicate: true }, { unchanged: true }])(
    'that did nothing new (%j) has a token too',
    async (how) => {
      api.bus.behaviour = async () => ({ ...api.bus.accept(), ...how });
      const answer = await ask(api.item, api.item.receiveStock, receiveStock());
      if (!answer.ok) throw new Error(answer.message);
      const { receipt } = answer.response;
      expect(receipt).toMatchObject(how);
      expect(tokens.decode(receipt?.positionToken ?? '')).toEqual(at(api.bus.position));
      expect(answer.trailers.get(positionTrailer)).toEqual([receipt?.positionToken]);
    },
  );

  test('under a request id used before is ALREADY_EXISTS, with a token by which it was', async () => {
    api.state.head = at(77);
    api.bus.behaviour = async () => ({ kind: 'request-id-reused' });
    const failure = await refusedBy(api.item, api.item.receiveStock, receiveStock());
    expect(failure).toMatchObject({ code: 'ALREADY_EXISTS', reason: 'REQUEST_ID_REUSED' });
    const [token] = failure.trailers.get(positionTrailer);
    expect(tokens.decode(String(token))).toEqual(at(77));
  });

  test('that may or may not have been carried out is UNAVAILABLE and says when to retry', async () => {
    api.bus.behaviour = () => Promise.reject(new CommandUnavailable('password of the store: hunter2'));
    const failure = await refusedBy(api.item, api.item.receiveStock, receiveStock());
    expect(failure).toMatchObject({ code: 'UNAVAILABLE', reason: 'STORE_UNAVAILABLE', retryMs: 1_000 });
    expect(failure.message).not.toContain('hunter2');
  });

  test('that fails unforeseen is INTERNAL with an id, and its text stays here', async () => {
    api.bus.behaviour = () => Promise.reject(new Error('secret: hunter2'));
    const failure = await refusedBy(api.item, api.item.receiveStock, receiveStock());
    expect(failure).toMatchObject({ code: 'INTERNAL', reason: 'INTERNAL' });
    const id = failure.metadata['error_id'] ?? '';
    expect(id).not.toBe('');
    expect(JSON.stringify(failure.trailers.toJSON())).not.toContain('hunter2');
    expect(
      Buffer.concat(failure.trailers.get('grpc-status-details-bin').map((b) => Buffer.from(b))).toString(
        'latin1',
      ),
    ).not.toContain('hunter2');
    expect(api.log.find((entry) => entry.includes(id))).toContain('hunter2');
    // And the process goes on.
    api.bus.behaviour = async () => api.bus.accept();
    await answered(api.item, api.item.receiveStock, receiveStock());
  });

  test('refused with half a surrogate pair in its text still has a status', async () => {
    api.bus.behaviour = async () => ({
      kind: 'refused',
      refusal: { reason: 'ODD', message: `odd \uD800 ${'x'.repeat(10_000)}`, class: 'precondition' },
      position: at(1),
      duplicate: false,
    });
    const failure = await refusedBy(api.item, api.item.receiveStock, receiveStock());
    expect(failure).toMatchObject({ code: 'FAILED_PRECONDITION', reason: 'ODD' });
    expect(failure.message.startsWith('odd \uFFFD xx')).toBe(true);
    expect(failure.message.length).toBeLessThan(300);
  });
});
