/**
 * One file per event type ever written. They are never edited: what was stored must decode, mean the same, and
 * be written the same again, for ever.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  decodeEvent,
  encodeEvent,
  eventTypeOf,
  storedTypeName,
  UnreadableEvent,
} from '../../src/domain/codec.ts';
import { eventCodecs, type EventType } from '../../src/domain/events.ts';

const folder = join(import.meta.dirname, 'events');
const files = readdirSync(folder).filter((name) => name.endsWith('.json'));

describe('stored events', () => {
  test('there is a file for every event type', () => {
    const types = Object.keys(eventCodecs) as EventType[];
    expect(files.toSorted()).toEqual(types.map((type) => `${storedTypeName(type)}.json`).toSorted());
  });

  test.each(files)('%s decodes and is written the same again', (file) => {
    const type = file.slice(0, -'.json'.length);
    const json: unknown = JSON.parse(readFileSync(join(folder, file), 'utf8'));
    const event = decodeEvent({ type, data: JSON.stringify(json) });
    expect(event.type).toBe(eventTypeOf(type));
    const again = encodeEvent(event);
    expect(again.type).toBe(type);
    expect(JSON.parse(again.data)).toEqual(json);
  });

  test('an unknown type or broken JSON is an error that says so', () => {
    expect(() => decodeEvent({ type: 'tallyback.events.v9.Nothing', data: '{}' })).toThrow(UnreadableEvent);
    expect(() => decodeEvent({ type: storedTypeName('StockSold'), data: '{' })).toThrow(UnreadableEvent);
  });

  test('fields of a later version are ignored, so that old code reads new events', () => {
    const data = '{"quantity":"3","orderId":"net~1","addedLater":{"x":[1]}}';
    expect(decodeEvent({ type: storedTypeName('StockSold'), data })).toMatchObject({
      data: { quantity: 3n },
    });
  });
});
