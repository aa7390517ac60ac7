/** A process: has a clock of its own, can be paused (as by SIGSTOP, or a long garbage collection) and can die. */
import type { Timing } from '../../src/projections/engine/timing.ts';
import type { Entry, Owner, Scheduler } from './scheduler.ts';

export class Instance implements Owner {
  readonly id: string;
  readonly timing: Timing;
  readonly #scheduler: Scheduler;
  #state: Owner['state'] = 'running';
  #held: Entry[] = [];
  /** Node keeps signals that somebody listens to, and all that hangs on them: the dead must not listen. */
  readonly #waiting = new Set<() => void>();

  /** `pace`: how fast its clock goes. `isDeaf`: a planted bug, its code does not hear what should end its waiting. */
  constructor(id: string, scheduler: Scheduler, { pace = 1, isDeaf = false } = {}) {
    this.id = id;
    this.#scheduler = scheduler;
    const bootedAt = scheduler.between(0, 1e6);
    this.timing = {
      sleep: (ms, signal) => this.wait(ms / pace, isDeaf ? undefined : signal),
      random: () => scheduler.random(),
      monotonic: () => bootedAt + scheduler.now * pace,
      turn: () => this.wait(0),
    };
  }

  get state(): Owner['state'] {
    return this.#state;
  }

  hold(entry: Entry): void {
    this.#held.push(entry);
  }

  pause(): void {
    if (this.#state === 'running') this.#state = 'paused';
  }

  resume(): void {
    if (this.#state !== 'paused') return;
    this.#state = 'running';
    const held = this.#held;
    this.#held = [];
    this.#scheduler.putBack(held);
  }

  /** Its memory is gone: nothing that waits in it ever goes on. */
  kill(): void {
    this.#state = 'dead';
    this.#held = [];
    for (const forget of this.#waiting) forget();
    this.#waiting.clear();
  }

  /** Until then, or the signal aborts; not while it is paused, and never if it dies. */
  wait(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const forget = (): void => signal?.removeEventListener('abort', abort);
      const over = (): void => {
        forget();
        this.#waiting.delete(forget);
        resolve();
      };
      const cancel = this.#scheduler.after(ms, over, this);
      const abort = (): void => {
        cancel();
        over();
      };
      signal?.addEventListener('abort', abort);
      this.#waiting.add(forget);
    });
  }
}
