/**
 * Keeps one read model up to date, for ever.
 *
 *   starting    claims the checkpoint, whoever has it
 *   catching-up / live   follows the log
 *   standby     somebody else has claimed it: looks now and then, and takes over when the other is not heard of
 *   retrying    store or database failed: waits, goes on from the stored checkpoint, however often it takes
 *   failed      the fold threw (or the like): stands still before that event until it is started again
 *   stopped
 */
import type pg from 'pg';
import { logStart, type EventStore, type Position } from '../../eventstore/port.ts';
import {
  claimCheckpoint,
  type Held,
  recordFailure,
  seeCheckpoint,
  takeOverCheckpoint,
} from './checkpoint.ts';
import { errorText, Fenced, FoldFailed, isPermanent, OtherLog, OtherVersion } from './errors.ts';
import { follow } from './follow.ts';
import { otherLog } from './followed-log.ts';
import type { ProgressHub } from './progress.ts';
import type { ReadModel } from './read-model.ts';
import { checkpointName } from './schema.ts';
import { backoff, type Delays, type Timing } from './timing.ts';

export type ProjectionState =
  'starting' | 'catching-up' | 'live' | 'standby' | 'retrying' | 'failed' | 'stopped';

export interface ProjectionStatus {
  /** Of the read model. */
  readonly name: string;
  readonly state: ProjectionState;
  /** Committed by this process, or seen while it stands by. */
  readonly position: Position;
  /** What failed last; kept while `retrying` and `failed`. */
  readonly error: string | undefined;
  /** Of the event that could not be taken in, when `failed` for that. */
  readonly failedAt: Position | undefined;
  /** Since the start of this process: events read, rows written, writes refused because another writer was ahead. */
  readonly events: number;
  readonly rows: number;
  readonly fenced: number;
}

export interface ProjectorOptions {
  readonly store: EventStore;
  readonly pool: pg.Pool;
  readonly model: ReadModel;
  readonly progress: ProgressHub;
  readonly timing: Timing;
  readonly delays: Delays;
  readonly maxEvents: number;
  readonly cachedRows: number;
  readonly log: (line: string) => void;
  /** Called when the database follows another log than `store`. */
  readonly onOtherLog?: ((error: OtherLog) => void) | undefined;
}

export class Projector {
  readonly #options: ProjectorOptions;
  readonly #name: string;
  #status: ProjectionStatus;
  #failures = 0;
  #epoch: bigint | undefined;

  constructor(options: ProjectorOptions) {
    this.#options = options;
    this.#name = checkpointName(options.model);
    this.#status = {
      name: options.model.name,
      state: 'starting',
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

  /** Ends when the signal aborts or the read model has failed. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    let held: Held | undefined;
    while (!signal.aborted && this.#status.state !== 'failed') {
      try {
        held ??= await this.#claim();
        await this.#follow(held, signal);
      } catch (error) {
        // Whatever it was, the stored checkpoint says where we are.
        held = undefined;
        if (!signal.aborted) held = await this.#recover(error, signal);
      }
    }
    if (this.#status.state !== 'failed') this.#set({ state: 'stopped' });
  }

  #set(change: Partial<ProjectionStatus>): void {
    this.#status = { ...this.#status, ...change };
  }

  /** The first time from anybody; later only what is still ours. */
  async #claim(): Promise<Held> {
    const { pool, model, delays, store } = this.#options;
    if (this.#epoch === undefined) {
      const held = await claimCheckpoint(pool, this.#name, model.version, store.id);
      this.#epoch = held.epoch;
      return held;
    }
    const seen = await seeCheckpoint(pool, this.#name, delays.takeOver);
    if (seen.epoch !== this.#epoch) throw new Fenced(`${this.#name} has been claimed by somebody else`);
    return seen;
  }

  async #follow(held: Held, signal: AbortSignal): Promise<void> {
    const { progress } = this.#options;
    this.#set({ state: 'catching-up', position: held.position, error: undefined });
    await follow({
      ...this.#options,
      held,
      signal,
      isWanted: (after, upTo) => progress.isWanted(this.#name, after, upTo),
      lead: (wake) => {
        const unlead = progress.lead(this.#name, wake);
        progress.publish(this.#name, held.position);
        return unlead;
      },
      committed: (position, rows) => {
        this.#failures = 0;
        this.#set({ position, rows: this.#status.rows + rows });
        progress.publish(this.#name, position);
      },
      took: (events, caughtUp) =>
        this.#set({ state: caughtUp ? 'live' : 'catching-up', events: this.#status.events + events }),
    });
  }

  async #recover(error: unknown, signal: AbortSignal): Promise<Held | undefined> {
    const { timing, delays, log } = this.#options;
    if (error instanceof Fenced) {
      this.#set({ state: 'standby', fenced: this.#status.fenced + 1 });
      log(`${this.#name}: another process writes it now, standing by`);
      return await this.#standBy(signal);
    }
    if (isPermanent(error)) {
      const failedAt = error instanceof FoldFailed ? error.position : undefined;
      this.#set({ state: 'failed', error: errorText(error), failedAt });
      log(`${this.#name} has stopped: ${errorText(error)}`);
      if (error instanceof OtherLog) this.#options.onOtherLog?.(error);
      await this.#record(errorText(error), failedAt, signal);
      return undefined;
    }
    if (this.#failures === 0) log(`${this.#name}: ${errorText(error)}; trying again`);
    this.#set({ state: 'retrying', error: errorText(error) });
    await timing.sleep(backoff(timing, this.#failures++, delays.longestRetry), signal);
    return undefined;
  }

  /** However often it takes: who looks from outside has no other way to know. */
  async #record(error: string, failedAt: Position | undefined, signal: AbortSignal): Promise<void> {
    const { pool, timing, delays, log } = this.#options;
    // Never claimed: it is somebody else's.
    if (this.#epoch === undefined) return;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        return await recordFailure(pool, this.#name, this.#epoch, failedAt, error);
      } catch (second) {
        if (attempt === 0) log(`${this.#name}: its failure cannot be recorded: ${errorText(second)}`);
        if (isPermanent(second)) return;
        await timing.sleep(backoff(timing, attempt, delays.longestRetry), signal);
      }
    }
  }

  /** The checkpoint, once its writer has fallen silent; undefined when the signal aborts or nothing more can be done. */
  async #standBy(signal: AbortSignal): Promise<Held | undefined> {
    const { pool, store, model, timing, delays, log } = this.#options;
    for (;;) {
      await timing.sleep(delays.standby * (0.5 + timing.random()), signal);
      if (signal.aborted) return undefined;
      try {
        const seen = await seeCheckpoint(pool, this.#name, delays.takeOver);
        if (seen.version !== model.version)
          throw new OtherVersion(`${this.#name} is of version ${seen.version} now`);
        if (seen.log !== store.id) throw otherLog();
        this.#set({ position: seen.position, error: undefined });
        if (!seen.stale) continue;
        const held = await takeOverCheckpoint(pool, this.#name, seen, store.id);
        if (!held) continue;
        this.#epoch = held.epoch;
        log(`${this.#name}: taken over`);
        return held;
      } catch (error) {
        if (isPermanent(error)) return await this.#recover(error, signal);
        this.#set({ error: errorText(error) });
      }
    }
  }
}
