/**
 * The database of the projections, in memory: what every call of ProjectionStorage does, each at one moment. When it
 * happens, and whether anybody hears of it, is decided elsewhere (storage.ts).
 */
import { comparePositions, logStart, type Position } from '../../src/eventstore/port.ts';
import { OtherLog, Rejected } from '../../src/projections/engine/errors.ts';
import type { AnyRow, Key } from '../../src/projections/engine/read-model.ts';
import { keyText } from '../../src/projections/engine/row-key.ts';
import type {
  Beat,
  Cluster,
  Failure,
  Generation,
  Held,
  ParkedEvent,
  WriteBatch,
} from '../../src/projections/engine/storage.ts';
import { leaseName } from '../../src/projections/engine/storage.ts';

/** A row as it is stored. Values are copied on their way in and out: nobody holds on to what is in the database. */
export interface DatabaseRow {
  readonly key: Key;
  readonly row: AnyRow;
  readonly position: Position;
}

export interface Checkpoint {
  readonly position: Position;
  readonly epoch: bigint;
  readonly owner: string | undefined;
  readonly failure: Failure | undefined;
  /** Until then nobody may claim it. */
  readonly frozenUntil: number;
}

/** Who looks over the database's shoulder. */
export interface Observer {
  claimed(held: Held, instance: string): void;
  /** An instance has moved a checkpoint, and with it these rows (none if it was only moved). */
  advanced(instance: string, held: Held, to: Position, batch: WriteBatch | undefined): void;
}

/** Mistakes that are put in on purpose, to see that they are found. */
export type DatabaseBug =
  /** Whoever writes may, from wherever. */
  | 'no-fencing'
  /** Whoever has it may write, from wherever. */
  | 'any-position'
  /** Whoever is where the checkpoint is may write. */
  | 'any-epoch'
  /** A claim leaves the epoch as it is. */
  | 'same-epoch'
  /** The checkpoint is moved in one transaction, the rows follow in another. */
  | 'two-steps';

export class Database {
  readonly checkpoints = new Map<string, Checkpoint>();
  readonly tables = new Map<string, Map<string, DatabaseRow>>();
  /** Who listens to what instances tell each other. */
  readonly listeners = new Set<(message: string) => void>();
  /** By name of the checkpoint. */
  readonly parked = new Map<string, ParkedEvent[]>();
  generations: readonly Generation[] = [];
  followedLog: string | undefined;
  observer: Observer | undefined;
  readonly #instances = new Map<string, { able: readonly string[]; expires: number }>();
  readonly #clock: () => number;
  readonly bug: DatabaseBug | undefined;

  constructor(clock: () => number, bug?: DatabaseBug) {
    this.#clock = clock;
    this.bug = bug;
  }

  now(): number {
    return this.#clock();
  }

  lives(instance: string): boolean {
    return (this.#instances.get(instance)?.expires ?? -Infinity) > this.#clock();
  }

  // Leases.

  beat({ instance, able, ttl }: Beat): Cluster {
    this.#instances.set(instance, { able: [...able], expires: this.#clock() + ttl });
    const instances: Cluster['instances'][number][] = [];
    for (const [id, other] of this.#instances) {
      if (other.expires > this.#clock()) instances.push({ id, able: other.able });
    }
    const leases: Cluster['leases'][number][] = [];
    for (const [name, { owner }] of this.checkpoints) {
      if (owner !== undefined && this.lives(owner)) leases.push({ name, owner });
    }
    return { instances, leases, generations: this.existing() };
  }

  /** To all who listen. */
  tell(message: string): void {
    for (const heard of this.listeners) heard(message);
  }

  follow(log: string): void {
    this.followedLog ??= log;
    if (this.followedLog !== log) throw new OtherLog('the database follows another log');
  }

  claim(name: string, instance: string, log: string): Held | undefined {
    this.follow(log);
    if (!this.lives(instance)) return undefined;
    const generation = this.generations.find((one) => leaseName(one) === name);
    if (name.startsWith('projection:') && (!generation || generation.state === 'dropped')) return undefined;
    const stored = this.checkpoints.get(name) ?? newCheckpoint;
    const { owner } = stored;
    if (owner !== undefined && owner !== instance && this.lives(owner)) return undefined;
    if (stored.frozenUntil > this.#clock()) return undefined;
    const epoch = this.bug === 'same-epoch' ? stored.epoch : stored.epoch + 1n;
    this.checkpoints.set(name, { ...stored, epoch, owner: instance, failure: undefined });
    const held = { name, position: stored.position, epoch };
    this.observer?.claimed(held, instance);
    return held;
  }

  release(held: Held, instance: string): void {
    const stored = this.#own(held);
    if (stored?.owner === instance) this.checkpoints.set(held.name, { ...stored, owner: undefined });
  }

  leave(instance: string): void {
    this.#instances.delete(instance);
    for (const [name, stored] of this.checkpoints) {
      if (stored.owner === instance) this.checkpoints.set(name, { ...stored, owner: undefined });
    }
  }

  seek(held: Held): Held | undefined {
    const stored = this.#own(held);
    return stored && { ...held, position: stored.position };
  }

  /** Somebody else claims it, whoever has it; for tests. */
  steal(name: string): void {
    const stored = this.checkpoints.get(name);
    if (!stored) return;
    const epoch = stored.epoch + 1n;
    this.checkpoints.set(name, { ...stored, epoch, owner: 'nobody', failure: undefined });
    this.observer?.claimed({ name, epoch, position: stored.position }, 'nobody');
  }

  fail(held: Held, failure: Failure): void {
    const stored = this.#own(held);
    if (stored) this.checkpoints.set(held.name, { ...stored, failure });
  }

  /** The checkpoint, if it is still of the epoch it was claimed with. */
  #own({ name, epoch }: Held): Checkpoint | undefined {
    const stored = this.checkpoints.get(name);
    return stored?.epoch === epoch ? stored : undefined;
  }

  isHeld(held: Held): boolean {
    return this.#own(held) !== undefined;
  }

  // Lines.

  load(generation: Generation, keys: readonly Key[]): { readonly key: Key; readonly row: AnyRow }[] {
    const table = this.table(generation);
    return keys.flatMap((key) => {
      const stored = table.get(keyText(key));
      return stored ? [{ key: [...stored.key], row: { ...stored.row } }] : [];
    });
  }

  parkedScopes(generation: Generation): ReadonlySet<string> {
    return new Set(this.parked.get(leaseName(generation))?.map(({ scope }) => scope));
  }

  /** `later` gets what the planted bug leaves for another transaction. */
  write(instance: string, batch: WriteBatch, later: (rest: () => void) => void): boolean {
    const { generation, held, from, to, rows, parked } = batch;
    if (rows.some(({ row }) => row && Object.values(row).some(hasNul)))
      throw new Rejected('a text with NUL in it');
    if (!this.#advance(held, from, to)) return false;
    const store = (): void => this.#store(batch);
    if (this.bug === 'two-steps') later(store);
    else store();
    const events = this.parked.get(leaseName(generation)) ?? [];
    this.parked.set(leaseName(generation), [...events, ...parked]);
    this.observer?.advanced(instance, held, to, batch);
    return true;
  }

  move(instance: string, held: Held, from: Position, to: Position): boolean {
    if (!this.#advance(held, from, to)) return false;
    this.observer?.advanced(instance, held, to, undefined);
    return true;
  }

  #advance(held: Held, from: Position, to: Position): boolean {
    const anyEpoch = this.bug === 'no-fencing' || this.bug === 'any-epoch';
    const anyPosition = this.bug === 'no-fencing' || this.bug === 'any-position';
    const stored = anyEpoch ? this.checkpoints.get(held.name) : this.#own(held);
    if (!stored || (!anyPosition && comparePositions(stored.position, from) !== 0)) return false;
    this.checkpoints.set(held.name, { ...stored, position: to });
    return true;
  }

  /** `isStored` is taken at its word, as an adapter may that inserts or updates without looking. */
  #store({ generation, rows }: WriteBatch): void {
    const table = this.table(generation);
    for (const { key, row, position, isStored } of rows) {
      const text = keyText(key);
      if (isStored !== undefined && isStored !== table.has(text))
        throw new Error(`a row of ${generation.table} is said to be ${isStored ? '' : 'not '}stored`);
      if (row) table.set(text, { key: [...key], row: { ...row }, position });
      else table.delete(text);
    }
  }

  positions(names: readonly string[] | undefined): ReadonlyMap<string, Position> {
    const positions = new Map<string, Position>();
    for (const [name, { position }] of this.checkpoints) {
      if (!names || names.includes(name)) positions.set(name, position);
    }
    return positions;
  }

  // Generations: see generations.ts for what becomes of them.

  existing(): readonly Generation[] {
    return this.generations.filter(({ state }) => state !== 'dropped');
  }

  table(generation: Generation): Map<string, DatabaseRow> {
    const table = this.tables.get(generation.table);
    if (!table) throw new Error(`there is no table ${generation.table}`);
    return table;
  }

  checkpoint(generation: Generation): Checkpoint {
    return this.checkpoints.get(leaseName(generation)) ?? newCheckpoint;
  }
}

/** What Postgres cannot hold. */
const hasNul = (value: AnyRow[string]): boolean => typeof value === 'string' && value.includes('\0');

export const newCheckpoint: Checkpoint = {
  position: logStart,
  epoch: 0n,
  owner: undefined,
  failure: undefined,
  frozenUntil: -Infinity,
};
