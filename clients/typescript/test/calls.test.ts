/** Commands and queries on a server that refuses, hangs and comes back. */
import { status } from '@grpc/grpc-js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { retryAfter } from '../../../src/api/errors.ts';
import { backoffMs } from '../src/backoff.ts';
import { TallybackError } from '../src/index.ts';
import { ann, credit } from './support/requests.ts';
import { failure, receipt, row, scripted } from './support/scripted.ts';

const errorOf = (promise: Promise<unknown>): Promise<TallybackError> =>
  promise.then(
    () => expect.fail('it should have been refused'),
    (error: unknown) => (error instanceof TallybackError ? error : expect.fail(String(error))),
  );

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('a command', () => {
  test('is repeated under the same request id until it has an answer', async () => {
    const { client, adjustments } = await scripted({
      adjust: (_, number) =>
        number < 2 ? failure(status.UNAVAILABLE, 'STORE_UNAVAILABLE') : receipt('third time'),
    });
    const answer = await client.accounts.adjustBalance(credit());
    expect(answer.receipt?.positionToken).toBe('third time');
    expect(adjustments).toHaveLength(3);
    expect(adjustments[0]?.requestId).toMatch(uuid);
    expect(new Set(adjustments.map(({ requestId }) => requestId)).size).toBe(1);
    expect(adjustments[1]).toEqual(adjustments[0]);
  });

  test('that gets no answer is repeated under the same request id within its deadline', async () => {
    const { client, adjustments } = await scripted(
      { adjust: (_, number) => (number === 0 ? 'silence' : receipt('again')) },
      { attemptMs: 200 },
    );
    const answer = await client.accounts.adjustBalance(credit());
    expect(answer.receipt?.positionToken).toBe('again');
    expect(adjustments.map(({ requestId }) => requestId)).toEqual([
      adjustments[0]?.requestId,
      adjustments[0]?.requestId,
    ]);
  });

  test('has a request id of its own, or the one it is given', async () => {
    const { client, adjustments } = await scripted({});
    const requestId = '00000000-0000-4000-8000-000000000001';
    await client.accounts.adjustBalance(credit());
    await client.accounts.adjustBalance(credit());
    await client.accounts.adjustBalance({ ...credit(), requestId });
    const [first, second, third] = adjustments.map((request) => request.requestId);
    expect(first).not.toBe(second);
    expect(third).toBe(requestId);
  });

  test('whose outcome stays unknown says under which request id to ask again', async () => {
    const { client, adjustments } = await scripted(
      { adjust: () => 'silence' },
      { attemptMs: 100, deadlineMs: 250 },
    );
    const error = await errorOf(client.accounts.adjustBalance(credit()));
    expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED', reason: '', mayPass: true });
    expect(error.requestId).toBe(adjustments[0]?.requestId);
    expect(new Set(adjustments.map(({ requestId }) => requestId)).size).toBe(1);
  });

  test('ends with the reason of its signal', async () => {
    const { client, adjustments } = await scripted({ adjust: () => 'silence' });
    const leaving = new AbortController();
    const answer = client.accounts.adjustBalance(credit(), { signal: leaving.signal });
    await expect.poll(() => adjustments.length).toBe(1);
    leaving.abort(new Error('the user left'));
    await expect(answer).rejects.toThrow('the user left');
    await expect(client.accounts.adjustBalance(credit(), { signal: leaving.signal })).rejects.toThrow(
      'the user left',
    );
    expect(adjustments).toHaveLength(1);
  });
});

describe('what is repeated', () => {
  test.each([
    status.INVALID_ARGUMENT,
    status.NOT_FOUND,
    status.ALREADY_EXISTS,
    status.PERMISSION_DENIED,
    status.FAILED_PRECONDITION,
    status.OUT_OF_RANGE,
    status.UNIMPLEMENTED,
    status.INTERNAL,
    status.DATA_LOSS,
    status.UNAUTHENTICATED,
  ])('not what the server means: status %i', async (code) => {
    const { client, adjustments } = await scripted({ adjust: () => failure(code, 'NO') });
    const error = await errorOf(client.accounts.adjustBalance(credit()));
    expect(error).toMatchObject({ code: status[code], reason: 'NO', mayPass: false });
    expect(adjustments).toHaveLength(1);
  });

  test.each([
    failure(status.UNAVAILABLE, 'READ_MODEL_LAGGING', { details: [retryAfter(5)] }),
    failure(status.RESOURCE_EXHAUSTED, 'TOO_MANY_WAITERS', { details: [retryAfter(5)] }),
    failure(status.INTERNAL, ''),
    failure(status.UNKNOWN, ''),
    failure(status.CANCELLED, ''),
  ])('what may pass: $code $reason', async (refusal) => {
    const { client, queries } = await scripted({
      balance: (_, number) => (number === 0 ? refusal : row('ann', 7)),
    });
    expect((await client.accounts.getBalance(ann)).balance?.availableMinor).toBe(7n);
    expect(queries).toHaveLength(2);
  });

  test('not a message that is too large, and always will be', async () => {
    const { client, queries } = await scripted(
      {
        balance: () => row('x'.repeat(10_000), 1),
      },
      { channelOptions: { 'grpc.max_receive_message_length': 1_000 } },
    );
    expect(await errorOf(client.accounts.getBalance(ann))).toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
    expect(queries).toHaveLength(1);
  });

  test('nothing that the contract does not call idempotent', async () => {
    const server = await scripted({ startRebuild: () => failure(status.UNAVAILABLE, 'STORE_UNAVAILABLE') });
    const error = await errorOf(server.client.projections.startRebuild({ projection: 'balance' }));
    expect(error.code).toBe('UNAVAILABLE');
    expect(server.rebuilds).toBe(1);
  });

  test('not before the server wants it: later than the deadline is never', async () => {
    const { client, adjustments } = await scripted({
      adjust: () => failure(status.UNAVAILABLE, 'SERVER_STOPPING', { details: [retryAfter(3_600_000)] }),
    });
    const error = await errorOf(client.accounts.adjustBalance(credit()));
    expect(error).toMatchObject({ reason: 'SERVER_STOPPING', retryAfterMs: 3_600_000 });
    expect(adjustments).toHaveLength(1);
  });

  test('never sooner than asked, never in step, never after more than some seconds of its own', () => {
    fc.assert(
      fc.property(fc.nat(1_000), fc.nat(100_000), (attempt, asked) => {
        expect(backoffMs(attempt, 5_000, asked)).toBeGreaterThanOrEqual(asked);
        expect(backoffMs(attempt, 5_000)).toBeGreaterThan(0);
        expect(backoffMs(attempt, 5_000)).toBeLessThanOrEqual(5_000);
      }),
    );
    expect(new Set(Array.from({ length: 50 }, () => backoffMs(5, 5_000))).size).toBeGreaterThan(1);
    expect(new Set(Array.from({ length: 50 }, () => backoffMs(0, 5_000, 60_000))).size).toBeGreaterThan(1);
  });
});

test('an error has all that the server said', async () => {
  const { client } = await scripted({
    adjust: () =>
      failure(status.FAILED_PRECONDITION, 'BELOW_MINIMUM', {
        metadata: { minimum: '500' },
        violations: [{ field: 'lines[3].sku', description: 'is too long', reason: 'string.max_len' }],
        details: [retryAfter(1_500)],
        position: 'where it was decided',
      }),
  });
  const error = await errorOf(client.accounts.adjustBalance(credit()));
  expect(error).toMatchObject({
    name: 'TallybackError',
    message: 'because of BELOW_MINIMUM',
    code: 'FAILED_PRECONDITION',
    reason: 'BELOW_MINIMUM',
    metadata: { minimum: '500' },
    violations: [{ field: 'lines[3].sku', description: 'is too long', reason: 'string.max_len' }],
    retryAfterMs: 1_500,
    positionToken: 'where it was decided',
  });
  expect(error.requestId).toMatch(uuid);
});
