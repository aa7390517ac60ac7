/**
 * Looks at every commit, and says what is wrong: a writer that is not the last one who claimed, a checkpoint that goes
 * back, a table that is not the fold of the log. The first violation ends the run.
 */
import { policyCheckpointName } from '../../src/application/policy-runner.ts';
import type { Policy } from '../../src/domain/policies/policy.ts';
import { comparePositions, formatPosition, type Position } from '../../src/eventstore/port.ts';
import type { ReadModel } from '../../src/projections/engine/read-model.ts';
import { keyText } from '../../src/projections/engine/row-key.ts';
import {
  type Generation,
  type Held,
  leaseName,
  type WriteBatch,
} from '../../src/projections/engine/storage.ts';
import type { CarriedOut } from './commands.ts';
import type { Database, Observer } from './database.ts';
import type { Log } from './log.ts';
import { Oracle } from './oracle.ts';
import { PolicyOracle } from './policies.ts';

export class Judge implements Observer {
  /** What is wrong, first things first. */
  readonly violations: string[] = [];
  commits = 0;
  readonly #database: Database;
  readonly #log: Log;
  readonly #models: readonly ReadModel[];
  readonly #oracles = new Map<string, Oracle>();
  /** Who has claimed it last. */
  readonly #writers = new Map<string, { readonly instance: string; readonly epoch: bigint }>();
  readonly #furthest = new Map<string, Position>();

  readonly #policies: ReadonlyMap<string, PolicyOracle>;
  readonly #carriedOut: CarriedOut;

  constructor(
    database: Database,
    log: Log,
    models: readonly ReadModel[],
    policies: readonly Policy[],
    carriedOut: CarriedOut,
  ) {
    this.#database = database;
    this.#log = log;
    this.#models = models;
    this.#policies = new Map(
      policies.map((policy) => [policyCheckpointName(policy), new PolicyOracle(policy, log)]),
    );
    this.#carriedOut = carriedOut;
    database.observer = this;
  }

  violation(what: string): void {
    this.violations.push(what);
  }

  claimed({ name, epoch }: Held, instance: string): void {
    this.#writers.set(name, { instance, epoch });
  }

  advanced(instance: string, { name, epoch }: Held, to: Position, batch: WriteBatch | undefined): void {
    this.commits++;
    const writer = this.#writers.get(name);
    if (writer?.instance !== instance || writer.epoch !== epoch)
      this.violation(
        `${name} was moved by ${instance} (${epoch}); it is ${writer?.instance}'s (${writer?.epoch})`,
      );
    const furthest = this.#furthest.get(name);
    if (furthest && comparePositions(to, furthest) < 0)
      this.violation(`${name} went back from ${formatPosition(furthest)} to ${formatPosition(to)}`);
    this.#furthest.set(name, to);
    if (comparePositions(to, this.#log.end) > 0) this.violation(`${name} is beyond the end of the log`);
    const generation = this.#database.generations.find((one) => leaseName(one) === name);
    if (generation) this.#compare(generation, to, batch);
    for (const { stream, requestId } of this.#policies.get(name)?.missing(to, this.#carriedOut) ?? [])
      this.violation(`${name} has passed ${formatPosition(to)} without ${requestId} for ${stream}`);
  }

  #compare(generation: Generation, to: Position, batch: WriteBatch | undefined): void {
    const oracle = this.#oracleOf(generation);
    const table = this.#database.table(generation);
    const parked = this.#database.parked.get(leaseName(generation)) ?? [];
    try {
      // The rows that were written, and those that should have been.
      const touched = new Set([...(batch?.rows ?? []).map(({ key }) => keyText(key)), ...oracle.advance(to)]);
      this.#report(generation, oracle.differences(table, parked, touched));
    } catch (error) {
      this.violation(error instanceof Error ? error.message : String(error));
    }
  }

  /** Everything, at the end. */
  compareAll(): void {
    for (const generation of this.#database.existing()) {
      const parked = this.#database.parked.get(leaseName(generation)) ?? [];
      const table = this.#database.table(generation);
      this.#report(generation, this.#oracleOf(generation).differences(table, parked));
    }
    this.#compareCommands();
  }

  /** Every command once, nothing else, and each stream's of one policy in the order of the log. */
  #compareCommands(): void {
    let due = 0;
    for (const [name, oracle] of this.#policies) {
      for (const [stream, expected] of oracle.inOrder()) {
        due += expected.length;
        const own = new Set(expected);
        const found = this.#carriedOut.byStream.get(stream)?.filter((id) => own.has(id)) ?? [];
        if (found.join() !== expected.join())
          this.violation(`${name} for ${stream}: carried out ${found.join()}; must be ${expected.join()}`);
      }
    }
    if (this.#carriedOut.size !== due)
      this.violation(`${this.#carriedOut.size} commands were carried out, ${due} are due`);
  }

  #report(generation: Generation, differences: readonly string[]): void {
    const at = formatPosition(this.#database.checkpoint(generation).position);
    for (const difference of differences) this.violation(`${leaseName(generation)} at ${at}: ${difference}`);
  }

  #oracleOf(generation: Generation): Oracle {
    const name = leaseName(generation);
    let oracle = this.#oracles.get(name);
    if (!oracle) {
      oracle = new Oracle(this.modelOf(generation), this.#log);
      this.#oracles.set(name, oracle);
    }
    return oracle;
  }

  modelOf({ model, version }: Generation): ReadModel {
    const found = this.#models.find((one) => one.name === model && one.version === version);
    if (!found) throw new Error(`nobody knows ${model} of version ${version}`);
    return found;
  }
}
