/**
 * Builds a generation of a read model beside the one that serves, and swaps it in.
 *
 *   loading       the log up to where it ended when this began, in big batches
 *   indexing      the secondary indexes
 *   catching-up   what has come since
 *   verifying     compared with the generation that serves, if the fold is the same one
 *   differs       waits for an operator to accept it, or cancel
 *   done          it serves, in one transaction with the other one's end (or, after a dry run, is dropped)
 *
 * Every stage can be broken off anywhere and done again: what is loaded is in the table with the checkpoint, indexes
 * are made if they are missing, comparing changes nothing. A pause is the end of the work until somebody wishes
 * otherwise; `cancel` drops the table.
 */
import { comparePositions, type EventStore, type Position } from '../../eventstore/port.ts';
import type { Catalog } from './catalog.ts';
import { Fenced } from './errors.ts';
import type { FollowLimits, FollowOptions } from './follow.ts';
import type { ReadModel } from './read-model.ts';
import type { Generation, Held, RebuildReport, RebuildStorage, Stage } from './storage.ts';
import { leaseName } from './storage.ts';
import type { Timing } from './timing.ts';

export interface RebuildOptions {
  readonly store: EventStore;
  readonly storage: RebuildStorage;
  readonly catalog: Catalog;
  readonly model: ReadModel;
  readonly held: Held;
  readonly signal: AbortSignal;
  readonly timing: Timing;
  readonly rebuildLimits: FollowLimits;
  readonly eventsPerSecond: number | undefined;
  readonly log: (line: string) => void;
  /** Follows the log with the generation; what was read and committed is also told to `tell`. */
  readonly follow: (how: BuildHow) => Promise<Position>;
}

export interface BuildHow extends Pick<
  FollowOptions,
  'held' | 'limits' | 'until' | 'eventsPerSecond' | 'signal'
> {
  readonly tell?: (position: Position, newEvents: number) => void;
}

/** The checkpoint to go on from when it serves; undefined when there is nothing more to do (for now). */
export async function rebuild(generation: Generation, options: RebuildOptions): Promise<Held | undefined> {
  const { storage, catalog, model, signal, log } = options;
  let held = options.held;
  const wish = (): Generation['wish'] => catalog.find(generation.model, generation.number)?.wish ?? 'run';
  const name = leaseName(generation);

  const enter = async (stage: Stage, report?: RebuildReport): Promise<void> => {
    if (!(await storage.setStage(held, generation, stage, report)))
      throw new Fenced(`${name} is claimed by somebody else`);
    log(`${name}: ${stage}`);
  };
  const going = new AbortController();
  const look = (): void => {
    if (signal.aborted || wish() !== 'run') going.abort();
  };
  const goOn = (): boolean => !going.signal.aborted;
  const catchUp = async (until: Position, eventsPerSecond?: number): Promise<void> => {
    const notes = new Notes(generation, held.position, until, options);
    const position = await options.follow({
      held,
      until,
      limits: options.rebuildLimits,
      eventsPerSecond,
      signal: going.signal,
      tell: (committed, events) => notes.take(committed, events),
    });
    await notes.end(position);
    held = { ...held, position };
  };

  const unlook = catalog.onUpdate(look);
  signal.addEventListener('abort', look);
  look();
  try {
    if (wish() === 'cancel') {
      await storage.drop(held, generation);
      return undefined;
    }
    if (generation.stage === 'loading') {
      await catchUp(await options.store.head(), options.eventsPerSecond);
      if (!goOn()) return undefined;
      await enter('indexing');
    }
    await storage.index(model, generation);
    await enter('catching-up');
    await catchUp(await options.store.head());
    if (!goOn()) return undefined;

    await enter('verifying');
    const comparison = await storage.compare(model, generation);
    const report = { comparison, error: undefined };
    if (comparison && comparison.differences > 0n && !generation.accepted && !generation.dryRun) {
      await enter('differs', report);
      return undefined;
    }
    await enter('catching-up', report);
    if (generation.dryRun) {
      await enter('done', report);
      await storage.drop(held, generation);
      return undefined;
    }
    while (goOn()) {
      const other = await storage.freeze(held, generation);
      if (other && comparePositions(other, held.position) > 0) await catchUp(other);
      const swapped = await storage.swap(held, generation);
      if (swapped === 'fenced') throw new Fenced(`${name} is claimed by somebody else`);
      if (swapped === 'behind') continue;
      await catalog.refresh();
      log(`${name} serves`);
      return held;
    }
    return undefined;
  } finally {
    unlook();
    signal.removeEventListener('abort', look);
  }
}

/** Tells those who look on how it goes, about once a second. */
class Notes {
  readonly #generation: Generation;
  readonly #options: RebuildOptions;
  readonly #from: Position;
  readonly #target: Position;
  readonly #startedAt: number;
  #notedAt: number;
  #events = 0;
  #newEvents = 0;

  constructor(generation: Generation, from: Position, target: Position, options: RebuildOptions) {
    this.#generation = generation;
    this.#options = options;
    this.#from = from;
    this.#target = target;
    this.#startedAt = this.#notedAt = options.timing.monotonic();
  }

  take(committed: Position, events: number): void {
    this.#events += events;
    this.#newEvents += events;
    if (this.#options.timing.monotonic() - this.#notedAt >= 1_000) void this.#note(committed);
  }

  async end(committed: Position): Promise<void> {
    await this.#note(committed);
  }

  async #note(committed: Position): Promise<void> {
    const { storage, timing } = this.#options;
    const newEvents = this.#newEvents;
    this.#newEvents = 0;
    this.#notedAt = timing.monotonic();
    const seconds = (this.#notedAt - this.#startedAt) / 1_000;
    // In some stores positions are bytes: good for a share of the way, not for a number of events.
    const start = Math.max(0, Number(this.#from.commit));
    const done = Number(committed.commit) - start;
    const left = Math.max(0, Number(this.#target.commit) - start - done);
    await storage
      .noteProgress(this.#generation, {
        target: this.#target,
        newEvents,
        eventsPerSecond: seconds > 0 ? this.#events / seconds : 0,
        remainingSeconds: done > 0 ? (left * seconds) / done : undefined,
      })
      // Only for those who look on.
      .catch(() => undefined);
  }
}
