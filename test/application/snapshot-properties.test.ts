/** Any history, with processes that come and go: those with snapshots say and store what those without do. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { commandBus } from '../../src/application/command-bus.ts';
import type { AggregateCommand, CommandBus, CommandRequest } from '../../src/application/commands.ts';
import { streamOf } from '../../src/application/aggregates.ts';
import { loadStream } from '../../src/application/load-stream.ts';
import type { RememberedRequests } from '../../src/application/remembered-requests.ts';
import { Snapshots } from '../../src/application/snapshots.ts';
import { publish } from '../domain/samples.ts';
import { history } from '../domain/account-histories.ts';
import { arrivals } from '../domain/order-reports.ts';
import { MemoryEventStore } from '../support/memory-event-store.ts';
import { item, MemorySnapshotStore, uuid, virtualTiming } from './support.ts';

const quantity = fc.bigInt({ min: -1n, max: 9n });
const reservationId = fc.constantFrom('r1', 'r2', 'r3');
const items: fc.Arbitrary<AggregateCommand[]> = fc.array(
  fc
    .oneof(
      fc.record({ kind: fc.constant('define'), allowNegative: fc.boolean() }),
      fc.record({ kind: fc.constant('receive'), quantity, reference: fc.constant('') }),
      fc.record({ kind: fc.constant('reserve'), reservationId, quantity }),
      fc.record({ kind: fc.constantFrom('commit', 'release'), reservationId }),
      fc.record({ kind: fc.constantFrom('sell', 'take-back'), quantity, orderId: fc.constant('o') }),
    )
    .map((command): AggregateCommand => ({ aggregate: 'item', command: { ...item(), ...command } })),
  { maxLength: 30 },
);

const programmes = fc.array(
  fc.oneof(
    fc.integer({ min: 0, max: 20 }).map((priority) => publish({ priority })),
    fc.integer({ min: 1, max: 5 }).map((version) => ({
      kind: 'retire-rule-set' as const,
      merchant: 'shop',
      at: item().at,
      version,
      retiredAt: item().at,
    })),
  ),
  { maxLength: 15 },
);

const histories: Readonly<Record<AggregateCommand['aggregate'], fc.Arbitrary<AggregateCommand[]>>> = {
  account: fc
    .tuple(history, history, history)
    .map((some) => some.flat().map((command) => ({ aggregate: 'account', command }))),
  order: arrivals.map(([all]) => all.map((command) => ({ aggregate: 'order', command }))),
  item: items,
  programme: programmes.map((all) => all.map((command) => ({ aggregate: 'programme', command }))),
};

/** Which command is sent next, of those in the history or one that was sent before; and whether in a new process. */
const steps = fc.array(fc.record({ repeat: fc.option(fc.nat(10)), restart: fc.boolean() }), {
  minLength: 5,
  maxLength: 45,
  size: 'max',
});

/** The position may be that of a whole append, or of the request's own event in it. */
const unplaced = (requests: RememberedRequests | undefined): Map<string, object> =>
  new Map(requests?.memory.ids.map((id) => [id, { ...requests.get(id), position: 0 }]));

test.each(Object.entries(histories))('%s', async (_, commands) => {
  let restored = 0;
  await fc.assert(
    fc.asyncProperty(
      commands,
      steps,
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 0, max: 3 }),
      async (all, schedule, every, askedAfter) => {
        const [store, whole] = [new MemoryEventStore(), new MemoryEventStore()];
        const snapshotStore = new MemorySnapshotStore();
        const timing = virtualTiming();
        const log = (line: string): never => expect.fail(line);
        const options = { snapshotStore, store, timing, log, every, askedAfter };
        let snapshots = new Snapshots(options);
        const buses = (): readonly [CommandBus, CommandBus] => [
          commandBus({ store, timing, snapshots }),
          commandBus({ store: whole, timing }),
        ];
        let [bus, plain] = buses();

        const requests = all.map((command, n): CommandRequest => ({
          ...command,
          requestId: uuid(n),
          contentHash: `hash-${n}`,
        }));
        const sent: CommandRequest[] = [];
        for (const { repeat, restart } of schedule) {
          if (restart) {
            await new Promise((resolve) => setImmediate(resolve));
            await snapshots.close();
            snapshots = new Snapshots(options);
            [bus, plain] = buses();
          }
          const request = repeat === null ? requests.shift() : sent[repeat];
          if (!request) continue;
          sent.push(request);
          const outcome = await bus.execute(request);
          // The position: see below.
          expect({ ...outcome, position: 0 }).toEqual({ ...(await plain.execute(request)), position: 0 });
        }
        // As it is stored, without what readers keep in the objects.
        expect(store.log.map(Object.entries)).toEqual(whole.log.map(Object.entries));
        await new Promise((resolve) => setImmediate(resolve));
        await snapshots.close();

        for (const [stream] of snapshotStore.kept) {
          const kind = all.find((command) => streamOf(command) === stream)?.aggregate;
          if (!kind) throw new Error(`whose stream is ${stream}?`);
          const short = await new Snapshots(options).restore(kind, stream);
          const long = await loadStream(whole, kind, stream);
          // Strictly: also what is undefined, and of which class.
          expect(short?.memory.state).toStrictEqual(long.memory.state);
          expect(unplaced(short?.requests)).toEqual(unplaced(long.requests));
          expect(short?.size).toBe(long.size);
          restored++;
        }
      },
    ),
    { numRuns: 150 },
  );
  expect(restored).toBeGreaterThan(20);
});
