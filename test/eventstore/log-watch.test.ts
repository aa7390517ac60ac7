import { EventEmitter, getEventListeners } from 'node:events';
import { Client } from 'pg';
import { expect, it } from 'vitest';
import { LogTail } from '../../src/eventstore/postgres/log-tail.ts';
import { systemEdges } from '../../src/eventstore/edges.ts';
import { LogWatch } from '../../src/eventstore/postgres/log-watch.ts';

class Unreachable extends Client {
  override connect(): Promise<never> {
    return Promise.reject(new Error('no route'));
  }

  override end(): Promise<void> {
    return Promise.resolve();
  }
}

it('reconnects for ever without piling up listeners', async () => {
  const nothing = { page: () => Promise.reject(new Error('no route')), head: () => Promise.resolve(0) };
  const tail = new LogTail(nothing, { events: 1, length: 1 }, 0);
  const attempts = new EventEmitter();
  let listeners = 0;
  const watch = new LogWatch(
    tail,
    () => {
      attempts.emit('one');
      return new Unreachable();
    },
    { poll: { least: 1, most: 1 }, listen: true },
    {
      ...systemEdges,
      clock: () => 0,
      random: () => 0.5,
      pause: async (_, signal) => {
        listeners = Math.max(listeners, getEventListeners(signal, 'abort').length);
        await new Promise((resolve) => setImmediate(resolve));
      },
    },
    () => undefined,
  );
  let unfollow = tail.follow(() => undefined);
  watch.update();
  for (let round = 0; round < 50; round++) {
    await new Promise((resolve) => attempts.once('one', resolve));
    if (round !== 25) continue;
    // Stopped and started again.
    unfollow();
    watch.update();
    unfollow = tail.follow(() => undefined);
    watch.update();
  }
  await watch.close();
  unfollow();
  expect(listeners).toBe(1);
});
