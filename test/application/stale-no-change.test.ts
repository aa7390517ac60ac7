import { expect, test } from 'vitest';
import { commandBus } from '../../src/application/command-bus.ts';
import { MemoryEventStore } from '../support/memory-event-store.ts';
import { item, itemRequest, virtualTiming } from './support.ts';

/**
 * What appends nothing meets no conflict. Decided on what this process remembers alone, what a policy asked for was
 * lost when another process had changed the account meanwhile.
 */
test('a command that would change nothing here is decided on what another process has stored', async () => {
  const store = new MemoryEventStore();
  const [here, elsewhere] = [1, 2].map(() => commandBus({ store, timing: virtualTiming() }));
  if (!here || !elsewhere) throw new Error('there are two');
  const define = (n: number, allowNegative: boolean) =>
    itemRequest(n, { ...item(), kind: 'define', allowNegative });
  await here.execute(define(1, true));
  await elsewhere.execute(define(2, false));
  // Here it seems to be so already.
  expect(await here.execute(define(3, true))).toMatchObject({ kind: 'accepted', unchanged: false });
});
