/**
 * The end of the log as this process knows it, shared by all its subscribers.
 *
 * Positions are dense and follow commit order, so "contiguous" proves "complete". Events come in two ways:
 *   own appends  right after their commit (followers hear of it a turn later), without a read, if they begin at
 *                last + 1
 *   refresh      a read of what lies behind `last`: when own appends leave a gap (another process was
 *                faster), on a hint from another process, on a poll, on a subscriber's request
 * Both may overlap; what the ring has already passed is ignored. So nothing is ever skipped or reordered.
 *
 * Too far behind (more than the ring holds), `last` jumps to the head instead: subscribers read the rest in
 * pages on their own. Without subscribers nobody refreshes, and a gap simply restarts the ring.
 */
import type { RecordedEvent } from '../port.ts';
import { EventRing, type RingLimits } from './event-ring.ts';
import type { Page } from './rows.ts';

/** How the tail reads the log. */
export interface TailSource {
  /** A page of the events after a position. */
  readonly page: (after: number) => Promise<Page>;
  readonly head: () => Promise<number>;
}

export class LogTail {
  readonly #source: TailSource;
  readonly #ring: EventRing;
  readonly #jumpAfter: number;
  readonly #subscribers = new Set<() => void>();
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #waking = false;

  /** `head`: position of the last event when the store was opened. */
  constructor(source: TailSource, limits: RingLimits, head: number) {
    this.#source = source;
    this.#ring = new EventRing(limits);
    this.#ring.reset(head);
    this.#jumpAfter = limits.events;
  }

  /** Everything up to here is known to be in the log, and can be had from the ring or by reading pages. */
  get last(): number {
    return this.#ring.last;
  }

  get followed(): boolean {
    return this.#subscribers.size > 0;
  }

  /** Calls `wake` whenever `last` has moved. Gives the function that stops it. */
  follow(wake: () => void): () => void {
    this.#subscribers.add(wake);
    return () => void this.#subscribers.delete(wake);
  }

  /** Events after a position, out of memory; empty if they are not held (or do not exist). */
  from(position: number, most: number): RecordedEvent[] {
    return this.#ring.from(position, most);
  }

  holds(position: number): boolean {
    return this.#ring.holds(position);
  }

  /** Takes in events this process has just committed, in log order. */
  committed(events: readonly RecordedEvent[]): void {
    const first = events[0];
    const final = events.at(-1);
    if (!first || !final || Number(final.position.commit) <= this.#ring.last) return;
    const start = Number(first.position.commit);
    if (start > this.#ring.last + 1) {
      if (this.followed) {
        // Should it fail, the watch polls again and reports.
        this.refresh().catch(() => undefined);
        return;
      }
      this.#ring.reset(start - 1);
    }
    this.#ring.push(events);
    // Those who appended are answered first.
    if (this.#waking) return;
    this.#waking = true;
    setImmediate(() => {
      this.#waking = false;
      this.#wake();
    });
  }

  /**
   * Brings `last` to the head of the log as of some moment after this call. Calls made while one refresh runs
   * share the next one. Throws EventStoreUnavailable, LogDamaged.
   */
  refresh(): Promise<void> {
    if (!this.#running) {
      this.#running = this.#refresh().finally(() => {
        this.#running = undefined;
      });
      return this.#running;
    }
    this.#next ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.refresh();
      });
    return this.#next;
  }

  async #refresh(): Promise<void> {
    for (;;) {
      const page = await this.#source.page(this.#ring.last);
      this.#push(page.events);
      if (!page.full) return;
      const head = await this.#source.head();
      if (head - this.#ring.last > this.#jumpAfter) {
        this.#ring.reset(head);
        this.#wake();
      }
    }
  }

  #push(events: readonly RecordedEvent[]): void {
    const before = this.#ring.last;
    this.#ring.push(events);
    if (this.#ring.last !== before) this.#wake();
  }

  #wake(): void {
    for (const wake of this.#subscribers) wake();
  }
}
