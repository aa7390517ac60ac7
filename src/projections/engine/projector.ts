/**
 * Keeps one generation of a read model up to date, for as long as this instance leads it.
 *
 *   building      see rebuild.ts; then, if it serves, as follows
 *   catching-up / live   follows the log
 *   retrying      store or database failed: waits, goes on from the stored checkpoint, however often it takes.
 *                 An event that cannot be folded is tried three times, each time with rows read afresh; then its row
 *                 is parked (see Parking) or, if the read model is one that stops, it is
 *   failed        stands still before that event, says so in its checkpoint, and gives the lease back
 *   standby       another instance leads it
 */
import { comparePositions, type EventStore, logStart, type Position } from '../../eventstore/port.ts';
import type { Catalog } from './catalog.ts';
import { errorText, Failed, Fenced, FoldFailed, isPermanent, OtherLog, stackOf } from './errors.ts';
import { follow, type FollowLimits } from './follow.ts';
import type { Duty } from './leases.ts';
import type { ProgressHub } from './progress.ts';
import type { ReadModel } from './read-model.ts';
import { type BuildHow, rebuild } from './rebuild.ts';
import { checkpointName, type Generation, type Held, leaseName, type ProjectionStorage } from './storage.ts';
import type { FoldThreads } from './threaded-folder.ts';
import { backoff, type Delays, type Timing } from './timing.ts';
import { writtenOf } from './written.ts';

export type ProjectionState = 'building' | 'catching-up' | 'live' | 'standby' | 'retrying' | 'failed';

export interface ProjectionStatus {
  /** Of the read model. */
  readonly name: string;
  readonly generation: number;
  readonly state: ProjectionState;
  /** Committed by this process. */
  readonly position: Position;
  /** What failed last; kept while `retrying` and `failed`. */
  readonly error: string | undefined;
  /** Of the event that could not be taken in, when `failed` for that. */
  readonly failedAt: Position | undefined;
  /** Since this process works on it: events read, rows written, times another writer was ahead. */
  readonly events: number;
  readonly rows: number;
  readonly fenced: number;
}

export interface ProjectorOptions {
  readonly store: EventStore;
  readonly storage: ProjectionStorage;
  readonly catalog: Catalog;
  readonly progress: ProgressHub;
  readonly timing: Timing;
  readonly delays: Delays;
  readonly limits: FollowLimits;
  /** While building. */
  readonly rebuildLimits: FollowLimits;
  readonly rebuildEventsPerSecond: number | undefined;
  /** Clients are being served: a rebuild then yields. */
  readonly isBusy: (() => boolean) | undefined;
  readonly foldThreads?: FoldThreads | undefined;
  readonly log: (line: string) => void;
}

/** Times an event is tried before it is said to be impossible to fold. */
const foldAttempts = 3;

export class Projector implements Duty {
  readonly name: string;
  readonly #model: ReadModel;
  readonly #options: ProjectorOptions;
  #generation: Generation;
  #status: ProjectionStatus;
  #failures = 0;
  #parkAt: Position | undefined;

  constructor(model: ReadModel, generation: Generation, options: ProjectorOptions) {
    this.#model = model;
    this.#generation = generation;
    this.#options = options;
    this.name = leaseName(generation);
    this.#status = {
      name: model.name,
      generation: generation.number,
      state: 'standby',
      position: logStart,
      error: undefined,
      failedAt: undefined,
      events: 0,
      rows: 0,
      fenced: 0,
    };
  }

  status(): ProjectionStatus {
    return this.#status;
  }

  /** Another instance leads it: what failed here is no longer how it is. */
  ledElsewhere(): void {
    if (this.#status.state === 'failed')
      this.#set({ state: 'standby', error: undefined, failedAt: undefined });
  }

  async lead(first: Held, signal: AbortSignal): Promise<void> {
    let held: Held | undefined = first;
    try {
      while (!signal.aborted) {
        try {
          held ??= await this.#seek(first);
          return await this.#work(held, signal);
        } catch (error) {
          held = undefined;
          if (!signal.aborted) await this.#recover(error, first, signal);
        }
      }
    } finally {
      if (this.#status.state !== 'failed') this.#set({ state: 'standby' });
    }
  }

  #set(change: Partial<ProjectionStatus>): void {
    this.#status = { ...this.#status, ...change };
  }

  /** Where the stored checkpoint is, whatever happened. */
  async #seek(held: Held): Promise<Held> {
    const stored = await this.#options.storage.seek(held);
    if (!stored) throw new Fenced(`${this.name} has been claimed by somebody else`);
    return stored;
  }

  async #work(held: Held, signal: AbortSignal): Promise<void> {
    const { catalog } = this.#options;
    const { model, number } = this.#generation;
    this.#generation = catalog.find(model, number) ?? this.#generation;
    let from = held;
    if (this.#generation.state === 'building') {
      this.#set({ state: 'building', position: held.position, error: undefined });
      const built = await rebuild(this.#generation, {
        ...this.#options,
        model: this.#model,
        held,
        signal,
        eventsPerSecond: this.#options.rebuildEventsPerSecond,
        follow: (how) => this.#follow(how),
      });
      if (built === undefined) return;
      from = built;
      this.#generation = catalog.find(model, number) ?? this.#generation;
    }
    if (!signal.aborted) await this.#follow({ held: from, limits: this.#options.limits, signal });
  }

  #follow(how: BuildHow): Promise<Position> {
    const { progress, catalog } = this.#options;
    const generation = this.#generation;
    // Only what is read here is waited for here.
    const serves = (): boolean => catalog.findServing(generation.model)?.number === generation.number;
    const name = checkpointName(this.#model);
    const state = (caughtUp: boolean): ProjectionState =>
      generation.state === 'building' ? 'building' : caughtUp ? 'live' : 'catching-up';
    this.#set({ state: state(false), position: how.held.position, error: undefined });
    return follow({
      ...this.#options,
      ...how,
      model: this.#model,
      generation,
      parkAt: this.#parkAt,
      yields: generation.state === 'building' ? this.#options.isBusy : undefined,
      isWanted: (after, upTo) => serves() && progress.isWanted(name, after, upTo),
      isFollowed: () => serves() && progress.isFollowed(name),
      lead: (wake) => {
        let unlead: (() => void) | undefined;
        // It may come to serve, or to serve no more, while it is followed.
        const look = (): void => {
          if (serves() === (unlead !== undefined)) return;
          unlead?.();
          unlead = unlead ? undefined : progress.lead(name, wake);
          if (unlead) progress.publish(name, this.#status.position);
        };
        look();
        const stopLooking = catalog.onUpdate(look);
        return () => {
          stopLooking();
          unlead?.();
        };
      },
      committed: (after, through, rows) => {
        this.#failures = 0;
        this.#set({ position: through, rows: this.#status.rows + rows.length });
        if (serves())
          progress.publish(name, through, () =>
            writtenOf(
              this.#model,
              catalog.find(generation.model, generation.number) ?? generation,
              after,
              through,
              rows,
            ),
          );
        how.tell?.(through, 0);
      },
      took: (events, caughtUp) => {
        this.#set({ state: state(caughtUp), events: this.#status.events + events, error: undefined });
        how.tell?.(this.#status.position, events);
      },
    });
  }

  /** Returns when it is to be tried again. */
  async #recover(error: unknown, held: Held, signal: AbortSignal): Promise<void> {
    const { timing, delays, log } = this.#options;
    if (error instanceof Fenced) this.#set({ fenced: this.#status.fenced + 1 });
    if (error instanceof Fenced || error instanceof OtherLog) throw error;
    const failedAt = error instanceof FoldFailed ? error.position : undefined;
    const isNew =
      failedAt && (!this.#status.failedAt || comparePositions(this.#status.failedAt, failedAt) !== 0);
    if (isNew) this.#failures = 0;
    const tries = this.#failures + 1;
    if (isPermanent(error) && !(failedAt && tries < foldAttempts)) {
      const parks = failedAt && (this.#model.onFailure ?? 'park') === 'park';
      if (!parks) return await this.#fail(error, failedAt, held, signal);
      this.#parkAt = failedAt;
      log(`${this.name}: ${errorText(error)}; parked`);
      return;
    }
    if (this.#failures === 0) log(`${this.name}: ${errorText(error)}; trying again`);
    this.#set({ state: 'retrying', error: errorText(error), failedAt });
    await timing.sleep(backoff(timing, this.#failures++, delays.longestRetry), signal);
  }

  /** Says so, however often it takes: who looks from outside has no other way to know. */
  async #fail(error: unknown, at: Position | undefined, held: Held, signal: AbortSignal): Promise<never> {
    const { storage, timing, delays, log } = this.#options;
    const text = errorText(error);
    this.#set({ state: 'failed', error: text, failedAt: at });
    log(`${this.name} has stopped: ${text}`);
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await storage.fail(held, { error: text, stack: stackOf(error), at });
        break;
      } catch (second) {
        if (attempt === 0) log(`${this.name}: its failure cannot be recorded: ${errorText(second)}`);
        if (isPermanent(second)) break;
        await timing.sleep(backoff(timing, attempt, delays.longestRetry), signal);
      }
    }
    throw new Failed(`${this.name} has stopped: ${text}`);
  }
}
