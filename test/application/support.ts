/** Short ways to build requests, and time that passes by itself. */
import type { CommandRequest } from '../../src/application/commands.ts';
import type { Snapshot, SnapshotStore } from '../../src/application/snapshot-store.ts';
import type { Timing } from '../../src/application/timing.ts';
import type { ItemCommand } from '../../src/domain/item/commands.ts';

/** Sleeping takes no time but lets everything else run, and moves the clock. */
export function virtualTiming(): Timing {
  let now = 0;
  return {
    sleep: (ms) => {
      now += ms;
      return new Promise((resolve) => {
        setImmediate(resolve);
      });
    },
    random: () => 0.5,
    monotonic: () => now,
  };
}

/** A valid UUID per number. */
export const uuid = (n: number): string => `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;

/** The part every item command has. */
export const item = (
  sku = 'mug',
): { readonly merchant: string; readonly sku: string; readonly at: Date } => ({
  merchant: 'shop',
  sku,
  at: new Date('2026-01-01T00:00:00Z'),
});

export const itemRequest = (n: number, command: ItemCommand, contentHash = `hash-${n}`): CommandRequest => ({
  requestId: uuid(n),
  contentHash,
  aggregate: 'item',
  command,
});

export const receive = (n: number, quantity: bigint): CommandRequest =>
  itemRequest(n, { ...item(), kind: 'receive', quantity, reference: '' });

export const reserve = (n: number, quantity: bigint): CommandRequest =>
  itemRequest(n, { ...item(), kind: 'reserve', reservationId: `r${n}`, quantity });

/** Snapshots in memory, which can be told to fail. */
export class MemorySnapshotStore implements SnapshotStore {
  readonly kept = new Map<string, Snapshot>();
  fault: 'fails' | 'hangs' | undefined;
  loads = 0;
  saves = 0;

  async load(stream: string): Promise<Snapshot | undefined> {
    this.loads++;
    await this.#answer();
    return this.kept.get(stream);
  }

  async save(snapshot: Snapshot): Promise<void> {
    this.saves++;
    await this.#answer();
    this.kept.set(snapshot.stream, snapshot);
  }

  /** The only one there is, for a test to tamper with. */
  get only(): Snapshot {
    const [snapshot, ...others] = this.kept.values();
    if (!snapshot || others.length > 0) throw new Error(`there are ${this.kept.size} snapshots`);
    return snapshot;
  }

  #answer(): Promise<void> {
    if (this.fault === 'fails') return Promise.reject(new Error('the snapshots are down'));
    return this.fault === 'hangs' ? new Promise(() => undefined) : Promise.resolve();
  }
}
