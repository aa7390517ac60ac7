/** A claimed checkpoint of something that is no read model, such as a policy: moved under its epoch. */
import type { Position } from '../../eventstore/port.ts';
import { Doorbell } from './doorbell.ts';
import type { ProgressHub } from './progress.ts';
import type { Held, LeaseStorage, LineStorage } from './storage.ts';
import type { Timing } from './timing.ts';

type Storage = Pick<LeaseStorage & LineStorage, 'move' | 'seek'>;
type Progress = Pick<ProgressHub, 'publish' | 'lead' | 'isFollowed'>;

export class LeasedCheckpoint {
  readonly #storage: Storage;
  readonly #progress: Progress;
  readonly #hurry: Doorbell;
  readonly #unlead: () => void;
  #held: Held;

  constructor(held: Held, storage: Storage, progress: Progress, timing: Pick<Timing, 'sleep'>) {
    this.#held = held;
    this.#storage = storage;
    this.#progress = progress;
    this.#hurry = new Doorbell(timing);
    this.#unlead = progress.lead(held.name, () => this.#hurry.ring());
    progress.publish(held.name, held.position);
  }

  get position(): Position {
    return this.#held.position;
  }

  /**
   * Rests for so many milliseconds before a move, less if somebody waits or begins to. For whatever: how far the move
   * will be able to go is not known when the rest begins.
   */
  async rest(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#progress.isFollowed(this.#held.name)) return;
    const end = (): void => this.#hurry.ring();
    signal.addEventListener('abort', end);
    if (!signal.aborted) await this.#hurry.wait(ms);
    signal.removeEventListener('abort', end);
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

  /** It is led here no more. */
  close(): void {
    this.#unlead();
  }

  #take(held: Held): void {
    this.#held = held;
    this.#progress.publish(held.name, held.position);
  }
}
