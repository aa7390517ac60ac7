/** What watches do, in numbers, for operators: nothing in the API depends on them. Whoever does it counts it. */
import { status } from '@grpc/grpc-js';
import type { Ending } from '../ending.ts';
import { known } from '../errors.ts';

export type Transport = 'grpc' | 'sse';

/** Why watches end. */
export type WatchEnd =
  /** The client broke it off, or its deadline passed, or its connection is gone. */
  | 'client_left'
  /** This server goes down. */
  | 'stopping'
  /** The client took nothing for too long. */
  | 'slow_consumer'
  /** There was no place for it, or none to wait in. */
  | 'over_limit'
  /** The client wanted no Reset: `fail_on_reset`. */
  | 'reset_refused'
  /** It could not be what the client asked for, such as a token of another watch. */
  | 'bad_request'
  /** The database, the log or the read model could not be read, or not in time. */
  | 'unavailable'
  /** What nobody meant: there is a line in the log. */
  | 'failed';

/** How many there are now. */
export class Level {
  #now = 0;

  get now(): number {
    return this.#now;
  }

  enter(): void {
    this.#now++;
  }

  leave(): void {
    this.#now--;
  }

  /** One more while `work` goes on. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.enter();
    try {
      return await work();
    } finally {
      this.leave();
    }
  }
}

/** Of all watches of one name, such as `balances`. */
export class WatchCounts {
  /** Requests that are being answered, also those that still wait to be as fresh as asked for. */
  readonly open: Readonly<Record<Transport, Level>> = { grpc: new Level(), sse: new Level() };
  readonly ended: Record<WatchEnd, number> = {
    client_left: 0,
    stopping: 0,
    slow_consumer: 0,
    over_limit: 0,
    reset_refused: 0,
    bad_request: 0,
    unavailable: 0,
    failed: 0,
  };
  /** Of all kinds: changes, heartbeats and the rest. */
  messages = 0;
  resets = 0;
  /** Times a subscriber of the change feed was given changes that were in memory. */
  fromMemory = 0;
  /** Times one was given what a query for it alone has found, be it nothing. */
  fromDatabase = 0;
  /** Times one had followed, and what it had missed was not in memory any more. */
  catchUps = 0;
  readonly snapshots = new Level();
  readonly snapshotsWaiting = new Level();
  /** Watches that cannot go on before their client has taken something. */
  readonly stalled = new Level();

  /** `ending`: of who watched. */
  end(error: unknown, ending: Ending): void {
    this.ended[endOf(error, ending)]++;
  }
}

/** By what the client is told; `Rpc.conclude` decides the same way. */
function endOf(error: unknown, { over }: Ending): WatchEnd {
  const cause = known(error) ?? over;
  switch (cause?.reason) {
    case 'CALL_CANCELLED':
      return 'client_left';
    case 'SERVER_STOPPING':
      return 'stopping';
    case 'SLOW_CONSUMER':
      return 'slow_consumer';
    case 'RESUME_TOKEN_OUTDATED':
      return 'reset_refused';
    default:
  }
  switch (cause?.code) {
    case status.RESOURCE_EXHAUSTED:
      return 'over_limit';
    case status.INVALID_ARGUMENT:
    case status.OUT_OF_RANGE:
      return 'bad_request';
    case status.UNAVAILABLE:
      return 'unavailable';
    default:
      return 'failed';
  }
}
