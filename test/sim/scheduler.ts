/**
 * Virtual time. Whatever waits is an entry here; entries run one after the other, each until nothing of what it set
 * off can go on, in the order they are due, and those due at the same moment in an order the seed decides. So a run
 * is a function of its seed.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { chance } from '../support/chance.ts';

/** Who waits: entries of one that is dead never run, of one that is paused later. */
export interface Owner {
  readonly state: 'running' | 'paused' | 'dead';
  /** Takes what falls due while it is paused. */
  hold(entry: Entry): void;
}

export interface Entry {
  readonly due: number;
  /** Decides between entries due at the same moment. */
  readonly tie: number;
  readonly owner: Owner | undefined;
  run: (() => void) | undefined;
}

const inOrder = (a: Entry, b: Entry): number => a.due - b.due || a.tie - b.tie;

export class Scheduler {
  /** In [0, 1), from the seed. */
  readonly random: () => number;
  /** In order, the next one last. */
  readonly #entries: Entry[] = [];
  #now = 0;
  #steps = 0;

  constructor(seed: number) {
    this.random = chance(seed);
  }

  /** Milliseconds since the beginning: the true time, which nobody inside sees. */
  get now(): number {
    return this.#now;
  }

  get steps(): number {
    return this.#steps;
  }

  /** Runs something after that many milliseconds; answers how to have it not happen. */
  after(ms: number, run: () => void, owner?: Owner): () => void {
    const entry: Entry = { due: this.#now + Math.max(0, ms), tie: this.random(), owner, run };
    this.#insert(entry);
    return () => (entry.run = undefined);
  }

  /** Puts back what was held; what was due in the meantime runs first, in the order it was due. */
  putBack(entries: readonly Entry[]): void {
    for (const entry of entries.toSorted(inOrder)) this.#insert(entry);
  }

  /** Lets that many milliseconds pass, or fewer if `done` says so; false: `done` never did. */
  async pass(ms: number, done?: () => boolean): Promise<boolean> {
    const end = this.#now + ms;
    await settled();
    for (;;) {
      if (done?.()) return true;
      const entry = this.#entries.at(-1);
      if (!entry || entry.due > end) {
        this.#now = end;
        return false;
      }
      this.#entries.pop();
      await this.#step(entry);
    }
  }

  #insert(entry: Entry): void {
    let [low, high] = [0, this.#entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#entries[middle];
      if (other && inOrder(other, entry) > 0) low = middle + 1;
      else high = middle;
    }
    this.#entries.splice(low, 0, entry);
  }

  async #step(entry: Entry): Promise<void> {
    const { run, owner } = entry;
    if (!run || owner?.state === 'dead') return;
    this.#now = Math.max(this.#now, entry.due);
    if (owner?.state === 'paused') return owner.hold(entry);
    entry.run = undefined;
    this.#steps++;
    run();
    await settled();
  }

  // Chance, in the forms it is used in.

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.random();
  }

  /** A whole number, both ends included. */
  whole(low: number, high: number): number {
    return Math.floor(this.between(low, high + 1));
  }

  pick<T>(items: readonly [T, ...T[]]): T {
    return items[Math.floor(this.random() * items.length)] ?? items[0];
  }

  /** Around a mean, now and then much longer. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.random());
  }
}

/** When nothing can go on by itself: promises lead to promises, but only a turn of the event loop ends them. */
async function settled(): Promise<void> {
  await nextTurn();
  await nextTurn();
}
