/**
 * What this instance leads: projections, rebuilds, policies.
 *
 *   every beat:  say that we live; see who else does, and who leads what
 *                → what is assigned to us and free: claim, lead
 *                → what we lead and is assigned to another: stop, give back (the other claims it in its next beat)
 *
 *   name:  free → leading → (aborted: hand-over, shutdown) stopping → free
 *                         → (fenced: somebody has claimed it, or its rows were put right by an operator) free
 *                         → (failed for good) resting, for others or for a later attempt → free
 *
 * Leases are for liveness only: two that believe they lead the same are told apart by the checkpoint's epoch. An
 * instance that could not say that it lives for the length of a lease stops by itself, for others have taken over.
 */
import { errorText, Failed, Fenced, OtherLog } from './errors.ts';
import { assign } from './assignment.ts';
import type { Cluster, Held, LeaseStorage } from './storage.ts';
import { backoff, type Delays, type Timing } from './timing.ts';

/** Something one instance at a time does. */
export interface Duty {
  /** Of its checkpoint. */
  readonly name: string;
  /**
   * Resolves when the signal aborts or there is nothing more to do. Throws Fenced when somebody else has taken the
   * checkpoint, Failed when it cannot go on; whatever else fails it tries again itself.
   */
  lead(held: Held, signal: AbortSignal): Promise<void>;
}

export interface LeaseKeeperOptions {
  readonly storage: LeaseStorage;
  /** Id of this instance: another one every time a process starts. */
  readonly instance: string;
  /** What this instance is able to do, as things stand. */
  readonly duties: () => readonly Duty[];
  /** Gets what every beat shows. */
  readonly onCluster: (cluster: Cluster) => void;
  readonly timing: Timing;
  readonly delays: Delays;
  readonly log: (line: string) => void;
  /** The database follows another log. */
  readonly onOtherLog?: ((error: OtherLog) => void) | undefined;
}

interface Led {
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  readonly #led = new Map<string, Led>();
  /** Claims under way: one that has to wait for somebody's transaction holds up neither the others nor the next beat. */
  readonly #claims = new Map<string, Promise<void>>();
  /** Until when what has failed here is not tried again. */
  readonly #resting = new Map<string, number>();
  #nudge = new AbortController();

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
  }

  /** Names of what is led here. */
  get leading(): readonly string[] {
    return [...this.#led.keys()];
  }

  /** Has the next beat come at once. */
  nudge(): void {
    this.#nudge.abort();
  }

  /** Until the signal aborts; then everything is finished and given back. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { storage, instance, timing, delays, log } = this.#options;
    const stop = (): void => this.#stopAll();
    signal.addEventListener('abort', stop);
    let alive = this.#aliveForNow();
    let failures = 0;
    while (!signal.aborted) {
      const next = this.#aliveForNow();
      try {
        await this.#beat(signal);
        alive.abort();
        alive = next;
        if (failures > 0) log('the database answers again');
        failures = 0;
      } catch (error) {
        next.abort();
        if (failures++ === 0) log(`cannot say that this instance lives: ${errorText(error)}; trying again`);
      }
      const pause =
        failures > 0 ? backoff(timing, failures, delays.beat) : delays.beat * (0.9 + 0.2 * timing.random());
      await timing.sleep(pause, AbortSignal.any([signal, this.#nudge.signal]));
      if (this.#nudge.signal.aborted) this.#nudge = new AbortController();
    }
    alive.abort();
    signal.removeEventListener('abort', stop);
    await Promise.all(this.#claims.values());
    this.#stopAll();
    await Promise.all(Array.from(this.#led.values(), ({ ended }) => ended));
    await storage.leave(instance).catch((error: unknown) => log(`while leaving: ${errorText(error)}`));
  }

  /** Everything stops when a lease has passed since now, however a beat hangs; unless that is called off. */
  #aliveForNow(): AbortController {
    const { timing, delays, log } = this.#options;
    const called = new AbortController();
    void timing.sleep(delays.lease, called.signal).then(() => {
      if (called.signal.aborted) return;
      log('this instance could not say for too long that it lives: others take over');
      this.#stopAll();
    });
    return called;
  }

  #stopAll(): void {
    for (const { stop } of this.#led.values()) stop.abort();
  }

  async #beat(signal: AbortSignal): Promise<void> {
    const { storage, instance, delays } = this.#options;
    const before = this.#duties();
    const able = [...before.keys()];
    const cluster = await storage.beat({ instance, able, ttl: delays.lease });
    this.#options.onCluster(cluster);
    if (signal.aborted) return;
    const duties = this.#duties();
    const owners = new Map(cluster.leases.map(({ name, owner }) => [name, owner]));
    const assigned = assign(cluster);
    for (const [name, { stop }] of this.#led) {
      if (!duties.has(name) || assigned.get(name) !== instance) stop.abort();
    }
    const free = [...duties.values()].filter(({ name }) => {
      const owner = owners.get(name);
      const isOurs = assigned.get(name) === instance && (owner === undefined || owner === instance);
      return isOurs && !this.#led.has(name) && !this.#claims.has(name);
    });
    for (const duty of free) {
      this.#claims.set(
        duty.name,
        this.#take(duty).finally(() => this.#claims.delete(duty.name)),
      );
    }
    // What has come into being with this beat is said, and taken, at once.
    if ([...duties.keys()].some((name) => !before.has(name))) this.nudge();
  }

  /** By name, those that may be tried now. */
  #duties(): ReadonlyMap<string, Duty> {
    const now = this.#options.timing.monotonic();
    const duties = new Map<string, Duty>();
    for (const duty of this.#options.duties()) {
      if ((this.#resting.get(duty.name) ?? -Infinity) <= now) duties.set(duty.name, duty);
    }
    return duties;
  }

  /** Never rejects. */
  async #take(duty: Duty): Promise<void> {
    const { storage, instance, log, onOtherLog } = this.#options;
    try {
      const held = await storage.claim(duty.name, instance);
      if (!held) return;
      const stop = new AbortController();
      this.#led.set(duty.name, { stop, ended: this.#lead(duty, held, stop.signal) });
    } catch (error) {
      if (error instanceof OtherLog) onOtherLog?.(error);
      else log(`${duty.name} cannot be claimed: ${errorText(error)}`);
    }
  }

  async #lead(duty: Duty, held: Held, signal: AbortSignal): Promise<void> {
    const { storage, instance, timing, delays, log, onOtherLog } = this.#options;
    const { name } = duty;
    try {
      await duty.lead(held, signal);
    } catch (error) {
      if (error instanceof OtherLog) onOtherLog?.(error);
      else if (error instanceof Fenced) log(`${name}: claimed by somebody else`);
      else {
        if (!(error instanceof Failed)) log(`${name}: ${errorText(error)}`);
        this.#resting.set(name, timing.monotonic() + delays.afterFailure);
      }
    }
    // If it cannot be given back now, it is free when the lease runs out.
    await storage.release(held, instance).catch(() => undefined);
    this.#led.delete(name);
    this.nudge();
  }
}
