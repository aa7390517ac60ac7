/**
 * Proves, all the time and at little cost, that tables are what the log makes of them and that money is conserved. One
 * instance at a time does; it goes on where the last one was.
 */
import type { EventStore } from '../../eventstore/port.ts';
import { Catalog } from '../engine/catalog.ts';
import { systemTiming } from '../engine/edges.ts';
import { errorText, Fenced, OtherLog } from '../engine/errors.ts';
import type { Duty } from '../engine/leases.ts';
import type { ReadModel } from '../engine/read-model.ts';
import type { Held, LeaseStorage, ProgressStorage } from '../engine/storage.ts';
import { backoff, type Timing } from '../engine/timing.ts';
import { type AuditDelays, AuditSession } from './session.ts';
import type { AuditStorage } from './storage.ts';

/** Name of its checkpoint and lease. */
export const auditCheckpoint = 'audit';

export const defaultAuditDelays: AuditDelays = {
  pass: 1_000,
  round: 60_000,
  totals: 15_000,
  confirm: 1_000,
  longestRetry: 30_000,
};

export interface AuditorOptions {
  readonly store: Pick<EventStore, 'readStream' | 'subscribe'>;
  readonly storage: AuditStorage;
  readonly checkpoints: Pick<LeaseStorage & ProgressStorage, 'seek' | 'generations'>;
  readonly models: readonly ReadModel[];
  /** Looked at, at most; and ten times as many events read. */
  readonly rowsPerSecond: number;
  readonly timing?: Timing;
  readonly delays?: Partial<AuditDelays>;
  readonly log: (line: string) => void;
}

export class Auditor implements Duty {
  readonly name = auditCheckpoint;
  readonly #options: AuditorOptions & { readonly timing: Timing };
  readonly #delays: AuditDelays;
  #rows = 0;
  #events = 0;
  #rounds = 0;

  constructor(options: AuditorOptions) {
    this.#options = { ...options, timing: options.timing ?? systemTiming };
    this.#delays = { ...defaultAuditDelays, ...options.delays };
  }

  /** Looked at and read by this process; and how often all of it, from one end to the other. */
  get done(): { readonly rows: number; readonly events: number; readonly rounds: number } {
    return { rows: this.#rows, events: this.#events, rounds: this.#rounds };
  }

  async lead(first: Held, signal: AbortSignal): Promise<void> {
    const { timing, log } = this.#options;
    let held: Held | undefined = first;
    for (let failures = 0; !signal.aborted;) {
      try {
        held ??= await this.#seek(first);
        await this.#work(held, signal, () => (failures = 0));
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Fenced || error instanceof OtherLog) throw error;
        if (failures === 0) log(`the audit: ${errorText(error)}; trying again`);
        held = undefined;
        await timing.sleep(backoff(timing, failures++, this.#delays.longestRetry), signal);
      }
    }
  }

  async #seek(held: Held): Promise<Held> {
    const stored = await this.#options.checkpoints.seek(held);
    if (!stored) throw new Fenced('the audit is done by somebody else');
    return stored;
  }

  async #work(held: Held, signal: AbortSignal, passed: () => void): Promise<void> {
    const { storage, models, checkpoints } = this.#options;
    const session = new AuditSession(
      {
        ...this.#options,
        catalog: new Catalog(models, checkpoints),
        delays: this.#delays,
        signal,
        spent: (rows, events) => {
          this.#rows += rows;
          this.#events += events;
        },
        roundEnded: () => this.#rounds++,
      },
      held,
      await storage.load(),
    );
    while (!signal.aborted) {
      await session.pass();
      passed();
    }
  }
}
