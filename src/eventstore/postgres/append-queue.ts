/**
 * Group commit. Appends wait here while a batch is on its way; all that wait become the next batch. One batch
 * at a time: a second one would only wait for the first one's lock (measured slower, with smaller batches).
 *
 * An append:  (stream busy → behind) → waiting → in flight → settled
 *   behind    another append for the same stream waits or flies; a batch never holds a stream twice,
 *             so every expected revision is checked against what is really stored
 *   waiting   goes with the next batch, first come first served, as far as the batch's limits allow
 *   settled   resolved with its own outcome, or rejected with EventStoreUnavailable, as is the whole batch,
 *             when the connection fails or is too slow: then nobody knows, and the caller asks
 *             again with the same ids. A straggler of the lost batch may still reach the log before that
 *             retry or after it; either way the ids make it one append.
 *
 * Back-pressure is the promise: an append holds its caller until it is settled, and nothing is refused for
 * lack of room. What is bounded is a batch, and how long an append may wait while the database fails.
 */
import { EventStoreUnavailable } from '../port.ts';
import { type Append, lengthOf } from '../check-append.ts';
import type { Outcome } from './append-batch.ts';
import { unavailable } from './database.ts';

export interface QueueLimits {
  /** Most appends in a batch. The answer to that many must fit the socket's buffers (see `send`). */
  readonly batchAppends: number;
  /** Characters after which a batch is full; a larger append travels alone. */
  readonly batchLength: number;
  /** Milliseconds an append may wait for its batch before it is rejected; that append was never sent. */
  readonly maxWait: number;
}

interface Waiting {
  readonly member: Append;
  readonly length: number;
  readonly since: number;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
}

export class AppendQueue {
  readonly #send: (members: readonly Append[]) => Promise<Outcome[]>;
  readonly #limits: QueueLimits;
  readonly #clock: () => number;
  #waiting: Waiting[] = [];
  /** Streams with an append waiting or in flight, and the appends behind it. */
  readonly #busy = new Map<string, Waiting[]>();
  #flying = false;
  #scheduled = false;
  #closed = false;
  #drained: (() => void) | undefined;

  /**
   * `send` stores a batch and gives the outcomes in order. It is answered in one small message: a process
   * frozen in between must not keep the server waiting for it, inside the lock that all appends need.
   */
  constructor(
    send: (members: readonly Append[]) => Promise<Outcome[]>,
    limits: QueueLimits,
    clock: () => number,
  ) {
    this.#send = send;
    this.#limits = limits;
    this.#clock = clock;
  }

  append(member: Append): Promise<Outcome> {
    if (this.#closed) return Promise.reject(new EventStoreUnavailable('The event store is closed'));
    return new Promise((resolve, reject) => {
      const length = lengthOf(member.events);
      const append: Waiting = { member, length, since: this.#clock(), resolve, reject };
      const behind = this.#busy.get(member.stream);
      if (behind) {
        behind.push(append);
        return;
      }
      this.#busy.set(member.stream, []);
      this.#waiting.push(append);
      this.#schedule();
    });
  }

  /** Takes no more appends; resolves once all earlier ones are settled. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#busy.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
  }

  /** Not at once: appends made in the same turn of the event loop shall travel together. */
  #schedule(): void {
    if (this.#scheduled || this.#flying || this.#waiting.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      const batch = this.#nextBatch();
      if (batch.length > 0) void this.#fly(batch);
      this.#schedule();
    });
  }

  #nextBatch(): Waiting[] {
    const tooOld = this.#clock() - this.#limits.maxWait;
    const batch: Waiting[] = [];
    let length = 0;
    let taken = 0;
    for (const append of this.#waiting) {
      if (batch.length >= this.#limits.batchAppends) break;
      if (append.since >= tooOld) {
        if (batch.length > 0 && length + append.length > this.#limits.batchLength) break;
        batch.push(append);
        length += append.length;
      }
      taken++;
    }
    const left = this.#waiting.splice(0, taken);
    for (const append of left) {
      if (append.since >= tooOld) continue;
      append.reject(new EventStoreUnavailable('Postgres event store: the append waited too long'));
      this.#release(append);
    }
    return batch;
  }

  async #fly(batch: readonly Waiting[]): Promise<void> {
    this.#flying = true;
    try {
      const outcomes = await this.#send(batch.map((append) => append.member));
      batch.forEach((append, index) => {
        const outcome = outcomes[index];
        if (outcome) append.resolve(outcome);
        else append.reject(new Error('The batch gave no outcome for this append'));
      });
    } catch (error) {
      for (const append of batch) append.reject(unavailable(error));
    }
    this.#flying = false;
    for (const append of batch) this.#release(append);
    this.#schedule();
  }

  /** Lets the next append for the stream wait for its batch. */
  #release({ member }: Waiting): void {
    const next = this.#busy.get(member.stream)?.shift();
    if (next) {
      this.#waiting.push(next);
      this.#schedule();
      return;
    }
    this.#busy.delete(member.stream);
    if (this.#busy.size === 0) this.#drained?.();
  }
}
