/**
 * The event store as one instance sees it. Subscriptions keep the port's promises, and nothing beyond them: batches
 * are of any size and come late, some wake-ups are lost (a look every `poll` makes up for that), and a subscription
 * may end and have to be begun again.
 */
import { setMaxListeners } from 'node:events';
import {
  comparePositions,
  type EventStore,
  EventStoreUnavailable,
  type LogBatch,
  type Position,
} from '../../src/eventstore/port.ts';
import type { Instance } from './instance.ts';
import type { Log } from './log.ts';
import type { Scheduler } from './scheduler.ts';

export interface StoreFaults {
  /** Milliseconds to get a batch. */
  readonly latency: number;
  /** Probability that a batch takes `stall` longer, that a subscription ends instead, that a wake-up is lost. */
  readonly stalls: number;
  readonly stall: number;
  readonly ends: number;
  readonly lostWakeups: number;
  /** Of calls that are not answered, whether or not they have happened. */
  readonly failures: number;
}

export const noStoreFaults = { stalls: 0, ends: 0, lostWakeups: 0, failures: 0 };

export interface StoreNetwork {
  faults: StoreFaults;
  /** Milliseconds between looks for events that nobody was woken for. */
  readonly poll: number;
  readonly largestBatch: number;
}

export function simulatedStore(
  log: Log,
  network: StoreNetwork,
  instance: Instance,
  scheduler: Scheduler,
): EventStore {
  const travel = (signal?: AbortSignal): Promise<void> => {
    const { latency, stalls, stall } = network.faults;
    return instance.wait(scheduler.exponential(latency) + (scheduler.chance(stalls) ? stall : 0), signal);
  };
  const call = async <R>(happen: () => R): Promise<R> => {
    await travel();
    const fails = scheduler.chance(network.faults.failures);
    if (fails && scheduler.chance(0.5)) throw new EventStoreUnavailable('the request was lost');
    const result = happen();
    await travel();
    if (fails) throw new EventStoreUnavailable('the answer was lost');
    return result;
  };

  /** Until the next append, as far as one hears of it. */
  const nextLook = async (signal: AbortSignal): Promise<void> => {
    const over = new AbortController();
    const unlisten = log.onAppend(() => {
      if (!scheduler.chance(network.faults.lostWakeups)) {
        scheduler.after(scheduler.exponential(1), () => over.abort(), instance);
      }
    });
    await instance.wait(network.poll * scheduler.between(0.5, 1.5), AbortSignal.any([signal, over.signal]));
    unlisten();
  };

  return {
    id: log.id,
    origin: undefined,
    append: (stream, expectedRevision, events) => call(() => log.append(stream, expectedRevision, events)),
    async *readStream(stream, options = {}) {
      yield* await call(() => log.stream(stream).filter(({ revision }) => revision >= (options.from ?? 0)));
    },
    async *subscribe({ after, signal, maxBatch = 1_000 }): AsyncGenerator<LogBatch> {
      setMaxListeners(0, signal);
      let through = after;
      let saidSo = false;
      for (;;) {
        await travel(signal);
        if (signal.aborted) return;
        if (scheduler.chance(network.faults.ends))
          throw new EventStoreUnavailable('the subscription has ended');
        const batch = nextBatch(log, through, Math.min(maxBatch, scheduler.whole(1, network.largestBatch)));
        if (batch.events.length > 0 || (batch.caughtUp && !saidSo)) {
          await travel(signal);
          if (signal.aborted) return;
          through = batch.through;
          saidSo = batch.caughtUp;
          yield batch;
        } else await nextLook(signal);
      }
    },
    head: () => call(() => log.end),
    close: () => Promise.resolve(),
  };
}

function nextBatch(log: Log, after: Position, size: number): LogBatch {
  const from = log.indexAfter(after);
  const events = log.events.slice(from, from + size);
  const caughtUp = from + events.length >= log.events.length;
  const last = events.at(-1)?.position ?? after;
  // What others have appended since is passed over with the last of ours.
  const through = caughtUp && comparePositions(log.end, last) > 0 ? log.end : last;
  return { events, through, caughtUp };
}
