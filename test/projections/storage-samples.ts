/** A read model, its rows and its writes, for the tests of storages. */
import type { Position } from '../../src/eventstore/port.ts';
import { defineReadModel, type Key, type RowOf } from '../../src/projections/engine/read-model.ts';
import type {
  Generation,
  Held,
  ParkedEvent,
  ProjectionStorage,
  StoredRow,
} from '../../src/projections/engine/storage.ts';
import { leaseName } from '../../src/projections/engine/storage.ts';

const columns = {
  member: 'text',
  day: 'timestamptz',
  amount: 'bigint',
  count: 'integer',
  open: 'boolean',
  details: 'json',
  note: { type: 'text', nullable: true },
} as const;

export type SampleRow = RowOf<typeof columns>;

/** A column of every type. Storages do not fold. */
export const sample = defineReadModel({
  name: 'sample',
  version: 1,
  table: { columns, key: ['member', 'day'], indexes: [['amount']] },
  handles: [],
  keys: () => [],
  fold: (row) => row,
});

export const at = (n: number): Position => ({ commit: BigInt(n), prepare: BigInt(n) });

const day = new Date('2026-01-02T03:04:05.678Z');

export const keyOf = (member: string): Key => [member, day];

export const rowOf = (member: string, change: Partial<SampleRow> = {}): SampleRow => ({
  member,
  day,
  amount: 2n ** 60n,
  count: -1,
  open: true,
  details: '{"b":1,"a":[1.50]}',
  note: undefined,
  ...change,
});

/** A row to be written: of a member, as of a position. */
export const put = (
  member: string,
  position: number,
  change?: Partial<SampleRow>,
  isStored?: boolean,
): StoredRow => ({ key: keyOf(member), row: rowOf(member, change), position: at(position), isStored });

export const remove = (member: string, position: number, isStored?: boolean): StoredRow => ({
  key: keyOf(member),
  row: undefined,
  position: at(position),
  isStored,
});

export const parkedEvent = (scope: string, position: number, error?: string): ParkedEvent => ({
  scope,
  stream: 'account-ann',
  revision: position,
  type: 'tested.v1',
  position: at(position),
  error,
  stack: error === undefined ? undefined : `${error}\n  at fold`,
});

/** A generation that an instance has claimed. */
export class Writer {
  readonly storage: ProjectionStorage;
  readonly generation: Generation;
  readonly held: Held;
  #position: Position;

  constructor(storage: ProjectionStorage, generation: Generation, held: Held) {
    this.storage = storage;
    this.generation = generation;
    this.held = held;
    this.#position = held.position;
  }

  /** From where the writer believes the checkpoint to be; false: refused. */
  async write(
    to: number,
    rows: readonly StoredRow[],
    parked: readonly ParkedEvent[] = [],
    from = this.#position,
  ): Promise<boolean> {
    const { storage, generation, held } = this;
    const batch = { model: sample, generation, held, from, to: at(to), rows, parked };
    const written = await storage.write(batch);
    if (written) this.#position = at(to);
    return written;
  }

  async move(to: number, from = this.#position): Promise<boolean> {
    const moved = await this.storage.move(this.held, from, at(to));
    if (moved) this.#position = at(to);
    return moved;
  }
}

/** Has an instance say that it lives, for a minute unless told otherwise. */
export const beat = (storage: ProjectionStorage, instance: string, ttl = 60_000) =>
  storage.beat({ instance, able: [`able-${instance}`], ttl });

/** The instance lives and claims a generation: the first one, unless told otherwise. */
export async function writer(storage: ProjectionStorage, instance: string, number = 1): Promise<Writer> {
  await beat(storage, instance);
  const generation = await generationOf(storage, number);
  const held = await storage.claim(leaseName(generation), instance);
  if (!held) throw new Error(`${instance} was not given ${leaseName(generation)}`);
  return new Writer(storage, generation, held);
}

export async function generationOf(storage: ProjectionStorage, number: number): Promise<Generation> {
  const found = (await storage.generations()).find((one) => one.model === 'sample' && one.number === number);
  if (!found) throw new Error(`there is no generation ${number}`);
  return found;
}

/** What a generation holds of these members, and where its checkpoint is. */
export async function contents(
  storage: ProjectionStorage,
  members: readonly string[],
  number = 1,
): Promise<{ readonly rows: readonly unknown[]; readonly position: Position | undefined }> {
  const generation = await generationOf(storage, number);
  const found = await storage.load(sample, generation, members.map(keyOf));
  const rows = found.toSorted((a, b) => (String(a.key[0]) < String(b.key[0]) ? -1 : 1)).map(({ row }) => row);
  const name = leaseName(generation);
  return { rows, position: (await storage.positions([name])).get(name) };
}
