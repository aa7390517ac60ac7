/** What later clients send otherwise than the one the other tests use. */
import { describe, expect, test } from 'vitest';
import { bytesField, messageField, numberField } from './proto.ts';
import { decodeUuid, encodeStructuredUuid, encodeUuid } from './uuid.ts';
import { decodeBatchAppend, decodeEvent } from './write-requests.ts';

const id = 'fedcba98-7654-4321-8fed-cba987654321';

function batchAppend(
  deadline: Buffer,
  expectation = bytesField(4, ''),
): ReturnType<typeof decodeBatchAppend> {
  const stream = messageField(1, bytesField(3, 'order-1'));
  const options = messageField(2, stream, expectation, deadline);
  return decodeBatchAppend(Buffer.concat([messageField(1, encodeUuid(id)), options, numberField(4, 1)]));
}

describe('a deadline', () => {
  test('is a duration', () => {
    const { options } = batchAppend(messageField(7, numberField(1, 2), numberField(2, 500_000_000)));
    expect(options?.timeout).toBe(2_500);
  });

  test('is a point in time', () => {
    const { options } = batchAppend(messageField(6, numberField(1, Math.floor(Date.now() / 1_000) - 100)));
    expect(options?.timeout).toBeLessThanOrEqual(-100_000);
  });

  test('is not needed', () => {
    expect(batchAppend(Buffer.alloc(0)).options?.timeout).toBe(Infinity);
  });
});

test('an id is text or two halves', () => {
  expect(decodeUuid(encodeUuid(id.toUpperCase()))).toBe(id);
  expect(decodeUuid(encodeStructuredUuid(id))).toBe(id);
});

test('what an append expects is required', () => {
  const none = Buffer.alloc(0);
  expect(batchAppend(none, numberField(2, 0)).options?.expected).toBe(0);
  expect(batchAppend(none, bytesField(3, '')).options?.expected).toBe('no_stream');
  expect(batchAppend(none, bytesField(5, '')).options?.expected).toBe('stream_exists');
  expect(() => batchAppend(none, none)).toThrow('expected revision');
});

test('an event has an id, a type, and a kind of content', () => {
  const entry = (key: string, value: string) => messageField(2, bytesField(1, key), bytesField(2, value));
  const [type, content] = [entry('type', 'counted'), entry('content-type', 'application/json')];
  const event = (...fields: readonly Buffer[]) => decodeEvent(Buffer.concat(fields));
  expect(event(messageField(1, encodeUuid(id)), type, content)).toMatchObject({
    id,
    type: 'counted',
    isJson: true,
  });
  expect(() => event(type, content)).toThrow('eventId');
  expect(() => event(messageField(1, encodeUuid(id)), content)).toThrow('Metadata');
  expect(() => event(messageField(1, encodeUuid(id)), type)).toThrow('Metadata');
});
