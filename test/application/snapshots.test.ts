/** A command on a stream with a snapshot ends as it would without, whatever has happened to the snapshot. */
import { beforeEach, describe, expect, test } from 'vitest';
import { snapshotVersions } from '../../src/application/aggregates.ts';
import { commandBus } from '../../src/application/command-bus.ts';
import type { CommandBus, CommandRequest } from '../../src/application/commands.ts';
import { sealOf } from '../../src/application/sealed-snapshot.ts';
import type { Snapshot } from '../../src/application/snapshot-store.ts';
import { Snapshots } from '../../src/application/snapshots.ts';
import { itemStream } from '../../src/domain/streams.ts';
import type { RecordedEvent } from '../../src/eventstore/port.ts';
import { MemoryEventStore } from '../support/memory-event-store.ts';
import { item, itemRequest, MemorySnapshotStore, receive, reserve, virtualTiming } from './support.ts';

class ReadCountingStore extends MemoryEventStore {
  override readonly id: string;
  /** First revision asked for, of every read since the list was last emptied. */
  readonly readFrom: number[] = [];
  eventsRead = 0;

  constructor(id = 'memory') {
    super();
    this.id = id;
  }

  override async *readStream(
    stream: string,
    options: { readonly from?: number } = {},
  ): AsyncIterable<RecordedEvent> {
    this.readFrom.push(options.from ?? 0);
    for await (const event of super.readStream(stream, options)) {
      this.eventsRead++;
      yield event;
    }
  }
}

let store: ReadCountingStore;
let snapshotStore: MemorySnapshotStore;
let lines: string[];
let snapshots: Snapshots;

const mug = itemStream('shop', 'mug');

/** A process that has just started. */
function freshBus(): CommandBus {
  const timing = virtualTiming();
  snapshots = new Snapshots({
    snapshotStore,
    store,
    timing,
    log: (line) => lines.push(line),
    every: 10,
    askedAfter: 3,
  });
  return commandBus({ store, timing, snapshots });
}

/** Until what goes on behind the commands is done. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  await snapshots.close();
}

/** Eleven deliveries, a refusal among them, and the snapshot of them all. */
async function history(): Promise<void> {
  const bus = freshBus();
  await bus.execute(reserve(100, 5n));
  for (let n = 1; n <= 10; n++) await bus.execute(receive(n, 1n));
  await settled();
}

beforeEach(() => {
  store = new ReadCountingStore();
  snapshotStore = new MemorySnapshotStore();
  lines = [];
});

/** What a process with snapshots answers, and that it is what one without answers. */
async function answersLikeWhole(): Promise<void> {
  const requests: CommandRequest[] = [
    reserve(100, 5n),
    receive(3, 1n),
    receive(5, 1n),
    receive(6, 1n),
    receive(10, 1n),
    itemRequest(3, { ...item(), kind: 'receive', quantity: 2n, reference: '' }, 'other'),
    // Needs no event, and is answered by the state alone.
    itemRequest(300, { ...item(), kind: 'define', allowNegative: true }, 'define'),
    reserve(200, 11n),
    reserve(201, 4n),
  ];
  const whole = new MemoryEventStore();
  whole.log.push(...store.log);
  const without = commandBus({ store: whole, timing: virtualTiming() });
  const bus = freshBus();
  // The position may be that of a whole append, or of the request's own event in it.
  const answer = async (of: CommandBus, request: CommandRequest): Promise<object> => ({
    ...(await of.execute(request)),
    position: undefined,
  });
  for (const request of requests) expect(await answer(bus, request)).toEqual(await answer(without, request));
  expect(store.log.map(({ id, data }) => [id, data])).toEqual(whole.log.map(({ id, data }) => [id, data]));
  await settled();
}

describe('a snapshot', () => {
  test('is read from its own revision on, and repeats of old requests get their stored outcome', async () => {
    await history();
    expect(snapshotStore.only).toMatchObject({ stream: mug, revision: 9 });
    store.readFrom.length = 0;
    store.eventsRead = 0;
    const bus = freshBus();
    expect(await bus.execute(reserve(100, 5n))).toMatchObject({ kind: 'refused', duplicate: true });
    expect(store.readFrom).toEqual([0, 9]);
    // The four that show that the stream is long, the one of the snapshot, and the one after it.
    expect(store.eventsRead).toBe(6);
    await answersLikeWhole();
  });

  test('is made of a stream that was read whole, and again every so many events', async () => {
    const plain = commandBus({ store, timing: virtualTiming() });
    for (let n = 1; n <= 25; n++) await plain.execute(receive(n, 1n));
    expect(snapshotStore.saves).toBe(0);
    let bus = freshBus();
    await bus.execute(receive(26, 1n));
    await settled();
    expect(snapshotStore.only).toMatchObject({ revision: 25 });
    bus = freshBus();
    for (let n = 27; n <= 50; n++) await bus.execute(receive(n, 1n));
    await settled();
    // Two more, or one, if that was still being written when the other was due.
    expect(snapshotStore.only.revision).toBeGreaterThanOrEqual(35);
    await answersLikeWhole();
  });

  test('of a hot stream is of what is stored, not of what is being decided', async () => {
    const bus = freshBus();
    for (let round = 0; round < 20; round++) {
      // The next ones are there before the last are answered.
      void bus.execute(receive(2 * round + 1, 1n));
      await bus.execute(receive(2 * round + 2, 1n));
    }
    await settled();
    expect(snapshotStore.saves).toBeGreaterThan(0);
    await answersLikeWhole();
  });

  test('is neither asked for nor made for a short stream', async () => {
    for (let n = 1; n <= 3; n++) await freshBus().execute(receive(n, 1n));
    await settled();
    expect([snapshotStore.loads, snapshotStore.saves]).toEqual([0, 0]);
  });
});

const flip = (bytes: Uint8Array, at: number): Buffer => {
  const flipped = Buffer.from(bytes);
  flipped[at] = (flipped[at] ?? 0) ^ 1;
  return flipped;
};

/** The seal that code with another version of the state would have given it. */
function sealedAs(version: number, { bytes, revision }: Snapshot): Buffer {
  const event = store.log[revision];
  if (!event) throw new Error(`the log has no event ${revision}`);
  return sealOf(bytes, version, store.id, event);
}

describe('is ignored, and replaced:', () => {
  const tampered: readonly (readonly [string, (of: Snapshot) => Partial<Snapshot>])[] = [
    ['a snapshot with a damaged state', ({ bytes }) => ({ bytes: flip(bytes, bytes.length >> 1) })],
    ['one that is cut short', ({ bytes }) => ({ bytes: bytes.subarray(0, -1) })],
    ['one of nothing', () => ({ bytes: Buffer.alloc(0), seal: Buffer.alloc(0) })],
    ['one with a damaged seal', ({ seal }) => ({ seal: flip(seal, 7) })],
    ['one of another revision', ({ revision }) => ({ revision: revision - 1 })],
    ['one ahead of the stream', ({ revision }) => ({ revision: revision + 1_000 })],
    ['one of no revision', () => ({ revision: -7 })],
    ['one of an older state', (of) => ({ seal: sealedAs(snapshotVersions.item - 1, of) })],
    ['one of a newer state', (of) => ({ seal: sealedAs(snapshotVersions.item + 1, of) })],
  ];
  test.each(tampered)('%s', async (_, tamper) => {
    await history();
    const { only } = snapshotStore;
    snapshotStore.kept.set(mug, { ...only, ...tamper(only) });
    await answersLikeWhole();
    expect(snapshotStore.only.revision).toBeGreaterThan(9);
    expect(lines).toEqual([]);
  });

  test('one of another stream', async () => {
    await history();
    const bus = freshBus();
    for (let n = 1; n <= 12; n++) {
      await bus.execute(
        itemRequest(500 + n, { ...item('cup'), kind: 'receive', quantity: 9n, reference: '' }),
      );
    }
    await settled();
    const ofCup = snapshotStore.kept.get(itemStream('shop', 'cup'));
    if (!ofCup) throw new Error('there is no snapshot of the cup');
    snapshotStore.kept.set(mug, ofCup);
    await answersLikeWhole();
  });

  test('one of the same stream in another log', async () => {
    await history();
    const other = new ReadCountingStore('copy');
    other.log.push(...store.log);
    store = other;
    const { seal } = snapshotStore.only;
    await answersLikeWhole();
    expect(snapshotStore.only.seal).not.toEqual(seal);
  });

  test('one that the log has gone behind, as after a restored backup', async () => {
    await history();
    store.log.splice(9);
    const { seal } = snapshotStore.only;
    await answersLikeWhole();
    expect(snapshotStore.only.seal).not.toEqual(seal);
  });

  test('one of a history that went on otherwise after a restored backup', async () => {
    await history();
    const before = store.log.splice(5);
    const plain = commandBus({ store, timing: virtualTiming() });
    for (let n = 0; n < 8; n++) await plain.execute(receive(50 + n, 7n));
    expect(store.log.length).toBeGreaterThan(before.length);
    await answersLikeWhole();
  });

  test('one whose last event came again at its revision, after others than before', async () => {
    await history();
    // What is sent again after the restore comes in another order, and ends with the very event of the snapshot.
    const lost = store.log.splice(5);
    const plain = commandBus({ store, timing: virtualTiming() });
    for (const n of [6, 5, 8, 7, 9]) await plain.execute(receive(n, 1n));
    const again = store.log[9];
    if (!again) throw new Error('there is no such event');
    expect(again).toEqual(lost[4]);
    // But for the time, which does not stand still over a restore.
    store.log[9] = { ...again, recordedAt: new Date(77) };
    await answersLikeWhole();
  });
});

describe('when the snapshots', () => {
  test.each(['fails', 'hangs'] as const)('%s, commands are carried out all the same', async (fault) => {
    await history();
    snapshotStore.fault = fault;
    const bus = freshBus();
    expect(await bus.execute(receive(3, 1n))).toMatchObject({ kind: 'accepted', duplicate: true });
    for (let n = 0; n < 40; n++) {
      expect(await bus.execute(receive(50 + n, 1n))).toMatchObject({ kind: 'accepted', duplicate: false });
    }
    expect(lines).toHaveLength(1);
  });

  test('are down, they are not asked again with every stream, and one line says so', async () => {
    snapshotStore.fault = 'fails';
    const plain = commandBus({ store, timing: virtualTiming() });
    const deliver = (bus: CommandBus, sku: string, n: number): Promise<unknown> =>
      bus.execute(itemRequest(n, { ...item(sku), kind: 'receive', quantity: 1n, reference: '' }));
    for (let n = 0; n < 60; n++) await deliver(plain, `sku-${n % 10}`, n);
    const bus = freshBus();
    for (let n = 0; n < 10; n++) await deliver(bus, `sku-${n}`, 100 + n);
    expect(snapshotStore.loads).toBe(1);
    expect(lines).toEqual(['snapshots: a stream is read whole: the snapshots are down']);
  });

  test('hang, no more than one is being written', async () => {
    snapshotStore.fault = 'hangs';
    const bus = freshBus();
    for (let n = 0; n < 200; n++) await bus.execute(receive(n, 1n));
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(snapshotStore.saves).toBeLessThanOrEqual(1);
  });

  test('are closed, no more are made, and the one under way is there', async () => {
    const bus = freshBus();
    for (let n = 0; n < 10; n++) await bus.execute(receive(n, 1n));
    await settled();
    expect(snapshotStore.saves).toBe(1);
    for (let n = 10; n < 30; n++) await bus.execute(receive(n, 1n));
    expect(snapshotStore.saves).toBe(1);
    expect(snapshotStore.only.revision).toBe(9);
  });
});
