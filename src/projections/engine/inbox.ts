/**
 * Between a subscription and the projector: batches are fetched ahead while earlier ones are folded and written,
 * up to a limit. Also the projector's doorbell: whatever should wake it rings here.
 */
import type { LogBatch } from '../../eventstore/port.ts';
import { Doorbell } from './doorbell.ts';
import type { Timing } from './timing.ts';

export class Inbox extends Doorbell {
  readonly #limit: () => number;
  readonly #batches: LogBatch[] = [];
  #events = 0;
  #room: (() => void) | undefined;
  #closed = false;
  #end: { readonly error: unknown } | undefined;

  /** Starts fetching at once. With `limit` events in the inbox no more are fetched. */
  constructor(source: AsyncIterable<LogBatch>, limit: () => number, timing: Timing) {
    super(timing);
    this.#limit = limit;
    void this.#fetch(source);
  }

  async #fetch(source: AsyncIterable<LogBatch>): Promise<void> {
    let end: unknown = new Error('the subscription has ended');
    try {
      for await (const batch of source) {
        this.#batches.push(batch);
        this.#events += batch.events.length;
        this.ring();
        while (this.#events >= this.#limit() && !this.#closed) {
          await new Promise<void>((resolve) => (this.#room = resolve));
        }
        if (this.#closed) return;
      }
    } catch (error) {
      end = error;
    }
    this.#end = { error: end };
    this.ring();
  }

  get empty(): boolean {
    return this.#batches.length === 0;
  }

  /** The next batches, with about that many events together; none if there are none. Throws why no more come. */
  take(events: number): readonly LogBatch[] {
    if (this.#end && this.empty) throw this.#end.error;
    let taken = 0;
    let count = 0;
    while (count < this.#batches.length && taken < events)
      taken += this.#batches[count++]?.events.length ?? 0;
    this.#events -= taken;
    this.#room?.();
    return this.#batches.splice(0, count);
  }

  /** Stops fetching (the subscription itself is ended by its signal). */
  close(): void {
    this.#closed = true;
    this.#room?.();
  }
}
