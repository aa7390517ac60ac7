/**
 * Which generation of every read model this process reads from and works on, as it was seen last.
 *
 * A process serves from the generation of its own version that serves; while that is still being built, from one of an
 * older version that has all its columns: complete through where it stands, and honest about that.
 */
import { OtherVersion } from './errors.ts';
import type { Columns, ReadModel } from './read-model.ts';
import { checkpointName, type Generation, leaseName, type ProgressStorage } from './storage.ts';

/** The generation to read a model from. */
export interface Tables {
  /** Throws ReadModelMissing. */
  serving(model: Pick<ReadModel, 'name'>): Generation;
  /** Looks again. */
  refresh(): Promise<void>;
}

/** There is no table yet that this version of the code could read. */
export class ReadModelMissing extends Error {
  override readonly name = 'ReadModelMissing';
}

export class Catalog implements Tables {
  readonly #models: ReadonlyMap<string, ReadModel>;
  readonly #storage: Pick<ProgressStorage, 'generations'>;
  #generations: readonly Generation[] = [];
  readonly #listeners = new Set<() => void>();

  constructor(models: readonly ReadModel[], storage: Pick<ProgressStorage, 'generations'>) {
    this.#models = new Map(models.map((model) => [model.name, model]));
    this.#storage = storage;
  }

  async refresh(): Promise<void> {
    this.update(await this.#storage.generations());
  }

  update(generations: readonly Generation[]): void {
    this.#generations = generations;
    for (const listener of this.#listeners) listener();
  }

  /** Calls back after every look; returns how to stop that. */
  onUpdate(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** As it was seen last; undefined if it is not there (any more). */
  find(model: string, number: number): Generation | undefined {
    return this.#generations.find((one) => one.model === model && one.number === number);
  }

  /** What this version of the code has to fold: what serves, and what is being built and not paused. */
  folded(): readonly (readonly [ReadModel, Generation])[] {
    return this.#generations.flatMap((generation) => {
      const model = this.#models.get(generation.model);
      const { state, wish, stage, version } = generation;
      const isWork = state === 'building' && (wish === 'cancel' || (wish === 'run' && stage !== 'differs'));
      return model?.version === version && (state === 'serving' || isWork) ? [[model, generation]] : [];
    });
  }

  findServing(name: string): Generation | undefined {
    const model = this.#models.get(name);
    if (!model) return undefined;
    const candidates = this.#generations.filter(
      (one) =>
        one.model === name && one.state === 'serving' && one.version <= model.version && covers(one, model),
    );
    return candidates.reduce<Generation | undefined>(
      (best, one) => (best && best.version >= one.version ? best : one),
      undefined,
    );
  }

  serving({ name }: Pick<ReadModel, 'name'>): Generation {
    const found = this.findServing(name);
    if (!found) throw new ReadModelMissing(`${name} is being built: there is nothing to read yet`);
    return found;
  }

  /** The checkpoint that "projection:balance" speaks of; undefined for what is not a read model. */
  checkpointOf(name: string): string | undefined {
    for (const model of this.#models.values()) {
      if (checkpointName(model) !== name) continue;
      const serving = this.findServing(model.name);
      return serving && leaseName(serving);
    }
    return undefined;
  }

  /** The other way round; undefined for a generation that nobody reads here. Other names stay as they are. */
  nameOf(checkpoint: string): string | undefined {
    if (!checkpoint.startsWith('projection:')) return checkpoint;
    for (const model of this.#models.values()) {
      const serving = this.findServing(model.name);
      if (serving && leaseName(serving) === checkpoint) return checkpointName(model);
    }
    return undefined;
  }
}

/** Whether a generation has all columns of a declaration. */
function covers(generation: Generation, model: ReadModel): boolean {
  return (
    generation.version === model.version ||
    Object.entries(columnsOf(model)).every(([name, type]) => generation.columns[name] === type)
  );
}

/** Columns and types as they are recorded with a generation. */
export function columnsOf({
  table,
}: {
  readonly table: { readonly columns: Columns };
}): Record<string, string> {
  const columns: Record<string, string> = {};
  for (const [name, spec] of Object.entries(table.columns)) {
    columns[name] = typeof spec === 'string' ? spec : `${spec.type} null`;
  }
  return columns;
}

export const newerOnly = (model: ReadModel, version: number): OtherVersion =>
  new OtherVersion(
    `the read model ${model.name} in the database is of version ${version}, made by a newer release; this one knows ${model.version}`,
  );
