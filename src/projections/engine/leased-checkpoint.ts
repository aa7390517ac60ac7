/** A claimed checkpoint of something that is no read model, such as a policy: moved under its epoch. */
import type { Position } from '../../eventstore/port.ts';
import type { ProgressHub } from './progress.ts';
import type { Held, LeaseStorage, LineStorage } from './storage.ts';

export class LeasedCheckpoint {
  readonly #storage: Pick<LeaseStorage & LineStorage, 'move' | 'seek'>;
  readonly #progress: Pick<ProgressHub, 'publish'>;
  #held: Held;

  constructor(
    held: Held,
    storage: Pick<LeaseStorage & LineStorage, 'move' | 'seek'>,
    progress: Pick<ProgressHub, 'publish'>,
  ) {
    this.#held = held;
    this.#storage = storage;
    this.#progress = progress;
    progress.publish(held.name, held.position);
  }

  get position(): Position {
    return this.#held.position;
  }

  /** False when somebody else has claimed it since. */
  async advance(to: Position): Promise<boolean> {
    if (!(await this.#storage.move(this.#held, this.#held.position, to))) return false;
    this.#take({ ...this.#held, position: to });
    return true;
  }

  /** Reads what is stored, after a failure that leaves it unknown; false as above. */
  async reload(): Promise<boolean> {
    const stored = await this.#storage.seek(this.#held);
    if (stored) this.#take(stored);
    return stored !== undefined;
  }

  #take(held: Held): void {
    this.#held = held;
    this.#progress.publish(held.name, held.position);
  }
}
