/**
 * A snapshot outlives the code that made it. Here streams that never change (snapshot-streams/, one event a line) are
 * folded, and what comes of them is compared with what came of them when the version was declared.
 *
 * When this fails, a state has another shape, or the fold makes something else of old events: raise `snapshotVersion`
 * of that aggregate (or `snapshotFormat`, for the outcomes of requests), and ADD the digest. Never change one: there
 * are snapshots of its version.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { snapshotVersions } from '../../src/application/aggregates.ts';
import type { AggregateCommand } from '../../src/application/commands.ts';
import { LoadedStream } from '../../src/application/loaded-stream.ts';
import { snapshotFormat } from '../../src/application/sealed-snapshot.ts';
import { eventTypeOf } from '../../src/domain/codec.ts';
import { eventCodecs } from '../../src/domain/events.ts';
import type { RecordedEvent } from '../../src/eventstore/port.ts';

type Kind = AggregateCommand['aggregate'];

/** Version n at index n − 1. */
const states: Readonly<Record<Kind, readonly string[]>> = {
  account: ['a72f2aa3a7aa5f2b'],
  item: ['74523a899a626c03'],
  order: ['1354207c327a687d'],
  programme: ['ee0ee72e840b0c4b'],
};
const requests: readonly string[] = ['aaa245db4225a14f', '73a51f0914e8dbb4'];

const kinds = Object.keys(states) as Kind[];

function eventsOf(kind: Kind): RecordedEvent[] {
  const file = readFileSync(join(import.meta.dirname, 'snapshot-streams', `${kind}.jsonl`), 'utf8');
  return file
    .trimEnd()
    .split('\n')
    .map((line, n) => {
      const { data, metadata, ...event } = JSON.parse(line) as Pick<
        RecordedEvent,
        'stream' | 'revision' | 'id' | 'type'
      > & { data: object; metadata: object };
      return {
        ...event,
        data: JSON.stringify(data),
        metadata: JSON.stringify(metadata),
        position: { commit: BigInt(n + 1), prepare: BigInt(n + 1) },
        recordedAt: new Date(n),
      };
    });
}

function fold(kind: Kind): LoadedStream[] {
  const streams = new Map<string, LoadedStream>();
  for (const event of eventsOf(kind)) {
    const loaded = streams.get(event.stream) ?? new LoadedStream(kind);
    loaded.read(event);
    streams.set(event.stream, loaded);
  }
  return [...streams.values()];
}

/** Everything about a value that a snapshot keeps: types, order, what is undefined, what refers to what. */
function described(value: unknown, known = new Map<object, number>()): unknown {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value !== 'object' || value === null) return String(value);
  if (value instanceof Date) return value.toISOString();
  const before = known.get(value);
  if (before !== undefined) return `#${before}`;
  known.set(value, known.size);
  const inside = (items: Iterable<unknown>): unknown[] => [...items].map((item) => described(item, known));
  if (Array.isArray(value)) return ['array', ...inside(value)];
  if (value instanceof Map) return ['map', ...inside([...value].flat(1))];
  if (value instanceof Set) return ['set', ...inside(value)];
  const fields = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return [(value.constructor as { readonly name: string }).name, ...inside(fields.flat(1))];
}

const digest = (value: unknown): string =>
  createHash('sha256')
    .update(JSON.stringify(described(value)))
    .digest('hex')
    .slice(0, 16);

test('the streams hold every type of event', () => {
  const types = kinds.flatMap((kind) => eventsOf(kind).map(({ type }) => eventTypeOf(type)));
  expect(new Set<unknown>(types)).toEqual(new Set(Object.keys(eventCodecs)));
});

test.each(kinds)('the state of this version of the %s is what it was', (kind) => {
  const state = digest(fold(kind).map(({ memory }) => memory.state));
  expect(states[kind]).toHaveLength(snapshotVersions[kind]);
  expect(state, `the ${kind} folds otherwise: raise its snapshotVersion and add the digest`).toBe(
    states[kind].at(-1),
  );
});

test('the outcomes of requests are kept as they were', () => {
  const kept = digest(kinds.map((kind) => fold(kind).map((loaded) => loaded.memory.requests)));
  expect(requests).toHaveLength(snapshotFormat);
  expect(kept, 'outcomes are kept otherwise: raise snapshotFormat and add the digest').toBe(requests.at(-1));
});

test('the digest tells states apart', () => {
  const one = { a: 1n };
  const different = [
    { a: one, b: one },
    { a: one, b: { a: 1n } },
    { a: { a: 1 }, b: { a: 1 } },
    { a: new Map([['a', 1n]]) },
    { a: new Set(['a', 1n]) },
    { a: undefined },
    {},
    { a: 'undefined' },
    { a: null },
    { a: Infinity },
    { a: new Date(0) },
  ];
  expect(new Set(different.map(digest)).size).toBe(different.length);
});
