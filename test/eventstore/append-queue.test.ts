/** The queue alone, over a send function that the test holds in its hand. */
import { describe, expect, it } from 'vitest';
import type { Append } from '../../src/eventstore/check-append.ts';
import type { Outcome } from '../../src/eventstore/postgres/append-batch.ts';
import { AppendQueue } from '../../src/eventstore/postgres/append-queue.ts';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { newEvents, rejection } from './samples.ts';

class Sender {
  readonly batches: (readonly string[])[] = [];
  #settle: { resolve: (outcomes: Outcome[]) => void; reject: (error: unknown) => void } | undefined;

  readonly send = (members: readonly Append[]): Promise<Outcome[]> => {
    this.batches.push(members.map((member) => member.stream));
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
  };

  async answer(): Promise<void> {
    const count = this.batches.at(-1)?.length ?? 0;
    this.#settle?.resolve(Array.from({ length: count }, () => ({ kind: 'stored-before' })));
    await nextTurn();
    await nextTurn();
  }

  async fail(): Promise<void> {
    this.#settle?.reject(new Error('connection lost'));
    await nextTurn();
    await nextTurn();
  }
}

const member = (stream: string, count = 1): Append => ({
  stream,
  expectedRevision: -1,
  events: newEvents(count),
});

function queueWith(limits: { batchAppends?: number; batchLength?: number }, clock = (): number => 0) {
  const sender = new Sender();
  const all = { batchAppends: 10, batchLength: 1_000_000, maxWait: 1_000, ...limits };
  return { sender, queue: new AppendQueue(sender.send, all, clock) };
}

describe('the append queue', () => {
  it('sends together what comes together, and next what came meanwhile', async () => {
    const { queue, sender } = queueWith({});
    const all = ['a', 'b'].map((stream) => queue.append(member(stream)));
    await nextTurn();
    all.push(...['c', 'd'].map((stream) => queue.append(member(stream))));
    await nextTurn();
    expect(sender.batches).toEqual([['a', 'b']]);
    await sender.answer();
    expect(sender.batches).toEqual([
      ['a', 'b'],
      ['c', 'd'],
    ]);
    await sender.answer();
    await Promise.all(all);
  });

  it('never puts a stream into a batch twice, and keeps the order of its appends', async () => {
    const { queue, sender } = queueWith({});
    const all = ['a', 'a', 'b', 'a', 'b'].map((stream) => queue.append(member(stream)));
    await nextTurn();
    await sender.answer();
    await sender.answer();
    await sender.answer();
    await Promise.all(all);
    expect(sender.batches).toEqual([['a', 'b'], ['a', 'b'], ['a']]);
  });

  it('keeps batches within their bounds; what is larger travels alone', async () => {
    const { queue, sender } = queueWith({ batchAppends: 2, batchLength: 500 });
    const all = ['a', 'b', 'c'].map((stream) => queue.append(member(stream)));
    all.push(queue.append(member('large', 50)), queue.append(member('d')));
    await nextTurn();
    for (let n = 0; n < 4; n++) await sender.answer();
    await Promise.all(all);
    expect(sender.batches).toEqual([['a', 'b'], ['c'], ['large'], ['d']]);
  });

  it('rejects the whole batch when it fails, and goes on with the next', async () => {
    const { queue, sender } = queueWith({});
    const lost = [queue.append(member('a')), queue.append(member('b'))];
    const errors = Promise.all(lost.map(rejection));
    await nextTurn();
    const next = queue.append(member('a'));
    await sender.fail();
    for (const error of await errors) expect(error).toMatchObject({ name: 'EventStoreUnavailable' });
    await sender.answer();
    expect(await next).toEqual({ kind: 'stored-before' });
  });

  it('rejects what has waited too long without sending it', async () => {
    let now = 0;
    const { queue, sender } = queueWith({}, () => now);
    const first = queue.append(member('a'));
    await nextTurn();
    const old = [queue.append(member('b')), queue.append(member('b'))];
    const errors = Promise.all(old.map(rejection));
    now = 5_000;
    const fresh = queue.append(member('c'));
    await sender.answer();
    await first;
    await sender.answer();
    await fresh;
    for (const error of await errors) expect(error).toMatchObject({ name: 'EventStoreUnavailable' });
    expect(sender.batches).toEqual([['a'], ['c']]);
  });

  it('closes when all are settled, and takes no more', async () => {
    const { queue, sender } = queueWith({});
    const all = [queue.append(member('a')), queue.append(member('a'))];
    let closed = false;
    const closing = queue.close().then(() => {
      closed = true;
    });
    await expect(queue.append(member('b'))).rejects.toMatchObject({ name: 'EventStoreUnavailable' });
    await nextTurn();
    await sender.answer();
    expect(closed).toBe(false);
    await sender.answer();
    await closing;
    await Promise.all(all);
  });
});
