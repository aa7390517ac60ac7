/** Read models in which a mistake shows: an event counted twice, left out, out of order, or taken in where it must not. */
import type { EventType } from '../../src/domain/events.ts';
import { formatPosition } from '../../src/eventstore/port.ts';
import { additive } from '../../src/projections/engine/additive.ts';
import {
  defineReadModel,
  type LoggedEvent,
  type ReadModel,
} from '../../src/projections/engine/read-model.ts';
import { balance, stock } from '../../src/projections/index.ts';

const handles = [
  'RebateAccrued',
  'RebateReversed',
  'ReturnTaken',
  'RebateReleased',
  'OrderTracked',
  'OrderAmended',
  'StockSold',
  'StockTakenBack',
] as const satisfies readonly EventType[];

/** A number that depends on all revisions so far, and on their order. */
const chained = (before: bigint, revision: number): bigint =>
  (before * 31n + BigInt(revision) + 7n) % 1_000_000_007n;

const columns = { stream: 'text', events: 'bigint', chain: 'bigint' } as const;
type Count = { readonly stream: string; readonly events: bigint; readonly chain: bigint };

const counted = (row: Count | undefined, stream: string, revision: number): Count => ({
  stream,
  events: (row?.events ?? 0n) + 1n,
  chain: chained(row?.chain ?? 0n, revision),
});

const counter = defineReadModel({
  name: 'counter',
  version: 1,
  table: { columns, key: ['stream'] },
  handles,
  keys: ({ stream }) => [[stream]],
  fold: (row, { stream, revision }) => counted(row, stream, revision),
});

const sums = additive({
  name: 'sums',
  version: 1,
  table: { columns: { type: 'text', events: 'bigint', revisions: 'bigint' }, key: ['type'] },
  handles,
  additions: ({ event, revision }) => [
    { key: [event.type], amounts: { events: 1n, revisions: BigInt(revision) } },
    { key: ['all'], amounts: { events: 1n } },
  ],
  empty: ([type]) => ({ type: String(type), events: 0n, revisions: 0n }),
});

const trail = defineReadModel({
  name: 'trail',
  version: 1,
  table: { columns: { stream: 'text', revision: 'bigint', type: 'text' }, key: ['stream', 'revision'] },
  handles,
  appendOnly: true,
  keys: ({ stream, revision }) => [[stream, BigInt(revision)]],
  fold: (_, { stream, revision, event }) => ({ stream, revision: BigInt(revision), type: event.type }),
});

/** Rows come and go; some events change nothing. */
const fleeting = defineReadModel({
  name: 'fleeting',
  version: 1,
  table: { columns, key: ['stream'] },
  handles,
  keys: ({ stream }) => [[stream]],
  fold(row, { stream, revision }) {
    if (revision % 5 === 4) return row;
    return row && revision % 3 === 2 ? undefined : counted(row, stream, revision);
  },
});

/** Some events cannot be folded for one of their two rows or for both, some cannot even be read. */
const brittle = defineReadModel({
  name: 'brittle',
  version: 1,
  table: { columns, key: ['stream'] },
  handles,
  keys({ stream, event, revision }) {
    if (stream.endsWith('EUR') && revision % 6 === 5) throw new Error('cannot be read');
    return [[stream], [event.type]];
  },
  fold(row, { stream, revision, event }, [key]) {
    const isTooMuch =
      key === stream
        ? /^order|GBP$/.test(stream) && revision > 3
        : event.type === 'OrderTracked' && revision > 4;
    if (isTooMuch && revision % 2 === 0) throw new Error('cannot be folded');
    return counted(row, String(key), revision);
  },
});

const strict = defineReadModel({
  name: 'strict',
  version: 1,
  table: { columns, key: ['stream'] },
  handles,
  onFailure: 'stop',
  keys: ({ stream }) => [[stream]],
  fold(row, logged) {
    if (isTooMuch(logged)) throw new Error('no more');
    return counted(row, logged.stream, logged.revision);
  },
});

const isTooMuch = ({ revision }: LoggedEvent): boolean => revision === 9;

export const models: readonly ReadModel[] = [counter, sums, trail, fleeting, brittle, strict, balance, stock];

/** The same read model, whose fold fails once or twice for some events, and then does not: nothing may come of it. */
export function flaky(model: ReadModel, failures: () => number): ReadModel {
  const left = new Map<string, number>();
  return {
    ...model,
    fold(row, logged, key) {
      const event = formatPosition(logged.position);
      const more = left.get(event) ?? failures();
      left.set(event, more - 1);
      if (more > 0) throw new Error('not this time');
      return model.fold(row, logged, key);
    },
  };
}
