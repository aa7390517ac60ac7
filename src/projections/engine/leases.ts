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
  /** The beat in which the claim was answered; undefined before, and while something is given back. */
  since: number | undefined;
}

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  readonly #led = new Map<string, Led>();
  /** What could not be given back: to be released as it was claimed, so that why it failed stays known. */
  readonly #kept = new Map<string, Held>();
  /** During which beat what was led came to its end. */
  readonly #ended = new Map<string, number>();
  /** Until when what has failed here is not tried again. */
  readonly #resting = new Map<string, number>();
  #beats = 0;
  #nudge = new AbortController();

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
  }

  /** Names of what is led here. */
  get leading(): readonly string[] {
    return [...this.#led].flatMap(([name, { since }]) => (since === undefined ? [] : [name]));
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
    // Not one for every beat: a signal that lives long remembers all that were ever composed of it.
    let pausing: { readonly nudge: AbortController; readonly signal: AbortSignal } | undefined;
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
      const nudge = this.#nudge;
      if (pausing?.nudge !== nudge) pausing = { nudge, signal: AbortSignal.any([signal, nudge.signal]) };
      await timing.sleep(pause, pausing.signal);
      if (nudge.signal.aborted) this.#nudge = new AbortController();
    }
    alive.abort();
    signal.removeEventListener('abort', stop);
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
    const beat = ++this.#beats;
    const before = this.#duties();
    const able = [...before.keys()];
    const cluster = await storage.beat({ instance, able, ttl: delays.lease });
    this.#options.onCluster(cluster);
    if (signal.aborted) return;
    const duties = this.#duties();
    const owners = new Map(cluster.leases.map(({ name, owner }) => [name, owner]));
    const assigned = assign(cluster);
    for (const [name, { stop, since }] of this.#led) {
      // Also what somebody else has claimed since, even if there is nothing to write that would be refused.
      const isLost = since !== undefined && since < beat && owners.get(name) !== instance;
      if (!duties.has(name) || assigned.get(name) !== instance || isLost) stop.abort();
    }
    for (const duty of duties.values()) {
      const owner = owners.get(duty.name) ?? instance;
      if (assigned.get(duty.name) === instance && owner === instance) this.#begin(duty.name, duty);
    }
    // What could not be given back, or was claimed without an answer: nobody else can take it while this instance lives.
    for (const { name, owner } of cluster.leases) {
      // Not what was given back while this beat was under way: claiming it again would wipe out why it failed.
      const isLeft = (this.#ended.get(name) ?? 0) < beat;
      if (owner === instance && assigned.get(name) !== instance && isLeft) this.#begin(name, undefined);
    }
    // What has come into being with this beat is said, and taken, at once.
    if (able.length < duties.size || able.some((name) => !duties.has(name))) this.nudge();
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

  /** Claims it to lead it, or, without a duty, to give it back. Beats go on meanwhile, however long that takes. */
  #begin(name: string, duty: Duty | undefined): void {
    if (this.#led.has(name)) return;
    const stop = new AbortController();
    const led: Led = { stop, since: undefined, ended: this.#claim(name, duty, stop.signal) };
    this.#led.set(name, led);
  }

  async #claim(name: string, duty: Duty | undefined, signal: AbortSignal): Promise<void> {
    const { storage, instance, log, onOtherLog } = this.#options;
    let isEnd = false;
    try {
      const held = (duty ? undefined : this.#kept.get(name)) ?? (await storage.claim(name, instance));
      const led = this.#led.get(name);
      if (held && duty && led && !signal.aborted) {
        led.since = this.#beats;
        await this.#lead(duty, held, signal);
        isEnd = true;
      }
      // If it cannot be given back now, a later beat finds it.
      if (held) {
        this.#kept.set(name, held);
        await storage.release(held, instance);
        this.#kept.delete(name);
      }
    } catch (error) {
      if (error instanceof OtherLog) onOtherLog?.(error);
      else log(`${name}: ${errorText(error)}`);
    }
    this.#led.delete(name);
    this.#ended.set(name, this.#beats);
    if (isEnd) this.nudge();
  }

  async #lead(duty: Duty, held: Held, signal: AbortSignal): Promise<void> {
    const { timing, delays, log, onOtherLog } = this.#options;
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
  }
}
