/** Generations of read models in the database in memory: how they come about, are compared, swapped in, and go. */
import { createHash } from 'node:crypto';
import { comparePositions, formatPosition, type Position } from '../../src/eventstore/port.ts';
import { columnsOf, newerOnly } from '../../src/projections/engine/catalog.ts';
import type { ReadModel } from '../../src/projections/engine/read-model.ts';
import {
  type Comparison,
  type Generation,
  type Held,
  leaseName,
  type Stage,
  type Wish,
} from '../../src/projections/engine/storage.ts';
import { type Database, type DatabaseRow, newCheckpoint } from './database.ts';

/** How long a generation that is to be replaced stands still at most. */
const longestFreeze = 5_000;

export class Generations {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  prepare(models: readonly ReadModel[]): void {
    for (const model of models) {
      const others = this.#database.existing().filter((one) => one.model === model.name);
      if (others.some(({ version }) => version === model.version)) continue;
      const newest = Math.max(...others.map(({ version }) => version));
      if (newest > model.version) throw newerOnly(model, newest);
      this.#make(model, others.length === 0 ? 'serving' : 'building', false);
    }
  }

  /** What an operator asks for: another table, made from the start of the log. */
  rebuild(model: ReadModel, dryRun = false): Generation {
    return this.#make(model, 'building', dryRun);
  }

  /** What an operator wishes for a generation that is being built. */
  wish(generation: Generation, wish: Wish): void {
    if (this.find(generation)?.state === 'building') this.#change(generation, { wish });
  }

  setStage(held: Held, generation: Generation, stage: Stage): boolean {
    if (!this.#database.isHeld(held)) return false;
    this.#change(generation, { stage });
    return true;
  }

  compare(model: ReadModel, generation: Generation): Comparison | undefined {
    const other = this.#servingBeside(generation);
    if (!other) return undefined;
    const [before, after] = [this.#database.table(other), this.#database.table(generation)];
    const [stoodAt, standsAt] = [this.#positionOf(other), this.#positionOf(generation)];
    const through = comparePositions(stoodAt, standsAt) < 0 ? stoodAt : standsAt;
    const changedLater = (row: DatabaseRow | undefined): boolean =>
      row !== undefined && comparePositions(row.position, through) > 0;
    // A row that the one which is ahead does not have may have been removed after `through`: nothing can be said of it.
    const unknown = (row: DatabaseRow | undefined, isAt: Position): boolean =>
      row === undefined && comparePositions(isAt, through) > 0;
    const examples: Comparison['examples'][number][] = [];
    const count = { before: 0n, after: 0n };
    const sums = { before: createHash('sha256'), after: createHash('sha256') };
    let differences = 0n;
    for (const text of [...new Set([...before.keys(), ...after.keys()])].toSorted()) {
      const [old, made] = [before.get(text), after.get(text)];
      if (changedLater(old) || changedLater(made) || unknown(old, stoodAt) || unknown(made, standsAt))
        continue;
      if (old) count.before++;
      if (made) count.after++;
      const [wasText, isText] = [rowText(model, old), rowText(model, made)];
      sums.before.update(wasText ?? '');
      sums.after.update(isText ?? '');
      if (wasText === isText) continue;
      differences++;
      examples.push({ key: text, before: wasText, after: isText });
    }
    const checksum = { before: sums.before.digest('hex'), after: sums.after.digest('hex') };
    return { through, rows: count, checksum, differences, examples: examples.slice(0, 10) };
  }

  freeze(held: Held, generation: Generation): Position | undefined {
    if (!this.#database.isHeld(held)) return undefined;
    const others = this.#readBefore(generation);
    for (const other of others) {
      const stored = this.#database.checkpoint(other);
      const frozen = { owner: undefined, frozenUntil: this.#database.now() + longestFreeze };
      // Whoever writes it is refused from now on.
      this.#database.checkpoints.set(leaseName(other), { ...stored, ...frozen, epoch: stored.epoch + 1n });
    }
    return others
      .map((other) => this.#positionOf(other))
      .toSorted(comparePositions)
      .at(-1);
  }

  swap(held: Held, generation: Generation): 'swapped' | 'behind' | 'fenced' {
    if (!this.#database.isHeld(held)) return 'fenced';
    const others = this.#readBefore(generation);
    const isAt = this.#positionOf(generation);
    if (others.some((other) => comparePositions(this.#positionOf(other), isAt) > 0)) return 'behind';
    for (const other of others) {
      const stored = { ...this.#database.checkpoint(other), frozenUntil: -Infinity };
      const isReplaced = other.version === generation.version;
      if (isReplaced) this.#change(other, { state: 'kept' });
      // Those of older versions may go on with theirs.
      const replaced = { ...stored, owner: undefined, epoch: stored.epoch + 1n };
      this.#database.checkpoints.set(leaseName(other), isReplaced ? replaced : stored);
    }
    this.#change(generation, { state: 'serving', stage: 'done' });
    return 'swapped';
  }

  drop(held: Held, generation: Generation): boolean {
    if (!this.#database.isHeld(held)) return false;
    this.#change(generation, { state: 'dropped' });
    this.#database.tables.delete(generation.table);
    this.#database.checkpoints.delete(leaseName(generation));
    this.#database.parked.delete(leaseName(generation));
    return true;
  }

  find({ model, number }: Pick<Generation, 'model' | 'number'>): Generation | undefined {
    return this.#database.generations.find((one) => one.model === model && one.number === number);
  }

  #make(model: ReadModel, state: 'serving' | 'building', dryRun: boolean): Generation {
    const numbers = this.#database.generations.filter((one) => one.model === model.name);
    const number = Math.max(0, ...numbers.map((one) => one.number)) + 1;
    const generation: Generation = {
      model: model.name,
      number,
      version: model.version,
      columns: columnsOf(model),
      table: `${model.name}_${number}`,
      state,
      stage: state === 'serving' ? 'done' : 'loading',
      wish: 'run',
      dryRun,
      accepted: false,
      incarnation: 0,
    };
    this.#database.generations = [...this.#database.generations, generation];
    this.#database.tables.set(generation.table, new Map());
    this.#database.checkpoints.set(leaseName(generation), newCheckpoint);
    return generation;
  }

  #change(generation: Generation, change: Partial<Generation>): void {
    this.#database.generations = this.#database.generations.map((one) =>
      leaseName(one) === leaseName(generation) ? { ...one, ...change } : one,
    );
  }

  /** What readers who will read this one may have read so far. */
  #readBefore({ model, number, version }: Generation): readonly Generation[] {
    return this.#database.generations.filter(
      (one) =>
        one.model === model && one.number !== number && one.version <= version && one.state === 'serving',
    );
  }

  #servingBeside({ model, number, version }: Generation): Generation | undefined {
    return this.#database.generations.find(
      (one) =>
        one.model === model && one.number !== number && one.version === version && one.state === 'serving',
    );
  }

  #positionOf(generation: Generation): Position {
    return this.#database.checkpoint(generation).position;
  }
}

/** A row with its position as text, columns in the order of the declaration. */
function rowText({ table }: ReadModel, stored: DatabaseRow | undefined): string | undefined {
  if (!stored) return undefined;
  const values = Object.keys(table.columns).map((column) => [column, String(stored.row[column])]);
  return JSON.stringify([formatPosition(stored.position), ...values]);
}
