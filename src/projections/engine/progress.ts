/**
 * Who waits for which projection or policy.
 *
 * What this process writes itself is told by `publish`, right after the commit. What other processes write is
 * seen by looking at the checkpoints, and only while somebody waits for one or listens to one that is not
 * written here: now and then, and whenever the one who writes says that there is something to see (Interest).
 */
import { comparePositions, logStart, type Position } from '../../eventstore/port.ts';
import type { Catalog } from './catalog.ts';
import { Doorbell } from './doorbell.ts';
import { errorText } from './errors.ts';
import { Interest } from './interest.ts';
import type { Progress } from './reading.ts';
import type { ProgressStorage, Signals } from './storage.ts';
import type { Timing } from './timing.ts';
import type { Written } from './written.ts';

interface Waiter {
  readonly position: Position;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

type Listener = (written: readonly Written[] | undefined) => void;

export interface ProgressOptions {
  readonly storage: Pick<ProgressStorage, 'positions'>;
  readonly signals: Signals;
  readonly instance: string;
  /** Which checkpoint it is that a name speaks of. */
  readonly catalog: Pick<Catalog, 'checkpointOf' | 'nameOf' | 'onUpdate'>;
  readonly timing: Timing;
  /** Milliseconds between looks at the checkpoints of other processes. */
  readonly poll: number;
  readonly log: (line: string) => void;
}

export class ProgressHub implements Progress {
  readonly #storage: ProgressOptions['storage'];
  readonly #catalog: ProgressOptions['catalog'];
  readonly #timing: Timing;
  readonly #poll: number;
  readonly #log: (line: string) => void;
  /** What this process has written itself. */
  readonly #published = new Map<string, Position>();
  /** What polling has shown last, to tell listeners of changes. */
  readonly #polled = new Map<string, string>();
  readonly #writers = new Map<string, () => void>();
  readonly #waiters = new Map<string, Set<Waiter>>();
  readonly #listeners = new Map<string, Set<Listener>>();
  /** What was written since listeners were told last; undefined: they have to look for themselves. */
  readonly #toTell = new Map<string, Written[] | undefined>();
  /** The checkpoint behind each name that is listened to, as it was last. */
  readonly #serving = new Map<string, string | undefined>();
  readonly #closed = new AbortController();
  readonly #interest: Interest;
  readonly #toLook: Doorbell;
  #polling = false;

  constructor(options: ProgressOptions) {
    this.#storage = options.storage;
    this.#catalog = options.catalog;
    this.#timing = options.timing;
    this.#poll = options.poll;
    this.#log = options.log;
    this.#toLook = new Doorbell(options.timing);
    this.#interest = new Interest({
      signals: options.signals,
      instance: options.instance,
      clock: () => options.timing.monotonic(),
      position: (name) => (this.#writers.has(name) ? (this.#published.get(name) ?? logStart) : undefined),
      wanted: (name) => this.#writers.get(name)?.(),
      moved: (name) => {
        if (!this.#writers.has(name)) this.#toLook.ring();
      },
    });
    options.catalog.onUpdate(() => this.#lookWhatServes());
  }

  async through(name: string): Promise<Position> {
    return (await this.#read([name])).get(name) ?? logStart;
  }

  async list(): Promise<readonly { readonly name: string; readonly position: Position }[]> {
    const positions = await this.#read(undefined);
    return Array.from(positions, ([name, position]) => ({ name, position }));
  }

  async reached(name: string, position: Position, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#closed.signal.throwIfAborted();
    const published = this.#published.get(name);
    if (published && comparePositions(published, position) >= 0) return;
    const waiters = setOf(this.#waiters, name);
    let abort: (() => void) | undefined;
    let waiter: Waiter | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        waiter = { position, resolve, reject };
        waiters.add(waiter);
        abort = () => reject(signal.reason as unknown);
        signal.addEventListener('abort', abort, { once: true });
        const writer = this.#writers.get(name);
        if (writer) writer();
        else this.#interest.ask(name, position);
        this.#startPolling();
      });
    } finally {
      if (waiter) waiters.delete(waiter);
      if (abort) signal.removeEventListener('abort', abort);
    }
  }

  onAdvance(name: string, callback: Listener): () => void {
    // Wrapped, so that the same function may listen twice.
    const listener: Listener = (written) => callback(written);
    setOf(this.#listeners, name).add(listener);
    this.#writers.get(name)?.();
    this.#startPolling();
    return () => void this.#listeners.get(name)?.delete(listener);
  }

  /** Called by whoever has just committed a checkpoint; `written` is asked for if somebody wants to know. */
  publish(name: string, position: Position, written?: () => Written | undefined): void {
    // The last write of one who leads it no more is true now, but others may have it start over unseen from here.
    if (this.#writers.has(name)) this.#published.set(name, position);
    this.#settle(name, position);
    this.#interest.written(name, position);
    if (this.#listeners.get(name)?.size) this.#tell(name, written?.());
  }

  /** This process writes `name` from now on; `wake` is called when somebody begins to wait for it. */
  lead(name: string, wake: () => void): () => void {
    this.#writers.set(name, wake);
    return () => {
      if (this.#writers.get(name) !== wake) return;
      this.#writers.delete(name);
      this.#published.delete(name);
      this.#startPolling();
    };
  }

  /** Whether somebody waits for a position after the first and up to the second. */
  isWanted(name: string, after: Position, upTo: Position): boolean {
    for (const { position } of this.#waiters.get(name) ?? []) {
      if (comparePositions(position, after) > 0 && comparePositions(position, upTo) <= 0) return true;
    }
    return this.#interest.isWanted(name, after, upTo);
  }

  /** Whether somebody waits for it, or is told of every advance. */
  isFollowed(name: string): boolean {
    const here = this.#waiters.get(name)?.size || this.#listeners.get(name)?.size;
    return Boolean(here) || this.#interest.isFollowed(name);
  }

  /** Ends all waiting, with an error. */
  close(): void {
    this.#closed.abort(new Error('projections have been stopped'));
    this.#interest.close();
    this.#toLook.ring();
    for (const waiters of this.#waiters.values()) {
      for (const { reject } of waiters) reject(this.#closed.signal.reason);
    }
    this.#listeners.clear();
  }

  #settle(name: string, position: Position): void {
    for (const waiter of this.#waiters.get(name) ?? []) {
      if (comparePositions(waiter.position, position) <= 0) waiter.resolve();
    }
  }

  /** Once per turn of the event loop, however often it advances. */
  #tell(name: string, written?: Written): void {
    if (!this.#listeners.get(name)?.size) return;
    const isTold = this.#toTell.has(name);
    const before = isTold ? this.#toTell.get(name) : [];
    this.#toTell.set(name, written && before ? [...before, written] : undefined);
    if (isTold) return;
    setImmediate(() => {
      const all = this.#toTell.get(name);
      this.#toTell.delete(name);
      for (const listener of this.#listeners.get(name) ?? []) {
        try {
          listener(all);
        } catch (error) {
          this.#log(`a listener of ${name} failed: ${errorText(error)}`);
        }
      }
    });
  }

  /** Another table serves, which nobody may be writing to: who follows a read model is to look. */
  #lookWhatServes(): void {
    for (const name of this.#listeners.keys()) {
      const checkpoint = this.#catalog.checkpointOf(name);
      if (this.#serving.get(name) === checkpoint) continue;
      this.#serving.set(name, checkpoint);
      this.#tell(name);
    }
  }

  /** Also for names written here while somebody waits: their writer may have been replaced without knowing. */
  #interesting(): string[] {
    const names = new Set<string>();
    for (const [name, waiters] of this.#waiters) if (waiters.size > 0) names.add(name);
    for (const [name, { size }] of this.#listeners) if (size > 0 && !this.#writers.has(name)) names.add(name);
    return [...names];
  }

  #startPolling(): void {
    if (this.#polling || this.#closed.signal.aborted) return;
    const names = this.#interesting();
    if (names.length === 0) return;
    this.#polling = true;
    // The writer in this process is nearly always faster than a look would be.
    void this.#pollUntilNobodyWaits(names.every((name) => this.#writers.has(name)));
  }

  async #pollUntilNobodyWaits(waitFirst: boolean): Promise<void> {
    const { signal } = this.#closed;
    for (let pause = waitFirst; !signal.aborted; pause = true) {
      if (pause) await this.#toLook.wait(this.#poll);
      const names = this.#interesting();
      if (names.length === 0 || signal.aborted) break;
      for (const name of names)
        if (!this.#writers.has(name) && this.#listeners.get(name)?.size) this.#interest.follow(name);
      try {
        for (const [name, position] of await this.#read(names)) this.#seen(name, position);
      } catch (error) {
        this.#log(`checkpoints cannot be read: ${errorText(error)}`);
        await this.#timing.sleep(20 * this.#poll, signal);
      }
    }
    this.#polling = false;
    this.#startPolling();
  }

  #seen(name: string, position: Position): void {
    this.#settle(name, position);
    const text = `${position.commit}/${position.prepare}`;
    if (this.#polled.get(name) === text) return;
    this.#polled.set(name, text);
    this.#tell(name);
  }

  /**
   * What was published before is committed, so a read that shows less means that the read model has started over:
   * what was published is forgotten, or `reached` would promise rows that are gone.
   */
  async #read(names: readonly string[] | undefined): Promise<Map<string, Position>> {
    const before = new Map(this.#published);
    const wanted = names?.map((name) => this.#catalog.checkpointOf(name) ?? name);
    const positions = new Map<string, Position>();
    for (const [checkpoint, position] of await this.#storage.positions(wanted)) {
      const name = this.#catalog.nameOf(checkpoint);
      if (name === undefined) continue;
      positions.set(name, position);
      const published = before.get(name);
      if (!published || comparePositions(position, published) >= 0) continue;
      // Unless there is news that this read came too early for.
      if (this.#published.get(name) === published) this.#published.delete(name);
    }
    return positions;
  }
}

function setOf<V>(map: Map<string, Set<V>>, name: string): Set<V> {
  const known = map.get(name);
  if (known) return known;
  const made = new Set<V>();
  map.set(name, made);
  return made;
}
