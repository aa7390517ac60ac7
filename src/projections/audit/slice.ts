/** Some of the rows of a table, as they are stored and as the log makes them. */
import { comparePositions, logStart, type Position, type RecordedEvent } from '../../eventstore/port.ts';
import { storedTypeName } from '../../domain/codec.ts';
import { balance } from '../balance/balance.ts';
import type { ReadModel } from '../engine/read-model.ts';
import { keyText } from '../engine/row-key.ts';
import type { Generation } from '../engine/storage.ts';
import { AccountLedgers, holdingsIn } from './account-ledgers.ts';
import { differences, type Difference } from './difference.ts';
import { Holds } from './holds.ts';
import { emptyLedger, imbalance, type Ledger, ledgerOf, plus } from './money.ts';
import { type PositionedRow, Refold } from './refold.ts';

/** How a table compares. */
export interface AuditedTable {
  readonly readModel: string;
  readonly generation: Generation;
  /** Where its checkpoint stood. */
  readonly through: Position;
  readonly rows: number;
  /** Handled by the read model, up to there. */
  readonly events: number;
  /** Of rows; each may differ in several columns. */
  readonly differences: number;
  /** Some of them. */
  readonly examples: readonly Difference[];
}

/** The money of one currency: as the table has it, and as the amounts in the log add up. */
export interface CurrencyMoney {
  readonly currency: string;
  readonly stored: Ledger;
  readonly right: Ledger;
  readonly imbalance: bigint;
}

const mostExamples = 20;
const nothingHeld = new Holds({ parked: new Map(), dropped: new Set() });

/** The same for the same key, whatever the machine: FNV-1a. */
export function sliceOf(text: string, slices: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % slices;
}

export class Slice {
  readonly #model: ReadModel;
  readonly #generation: Generation;
  readonly #wanted: (keyText: string) => boolean;
  readonly #types: ReadonlySet<string>;
  readonly #rows = new Map<string, PositionedRow>();
  #through: Position = logStart;
  #refold: Refold;
  #ledgers: AccountLedgers | undefined;
  #events = 0;

  constructor(model: ReadModel, generation: Generation, wanted: (keyText: string) => boolean) {
    this.#model = model;
    this.#generation = generation;
    this.#wanted = wanted;
    this.#types = new Set(model.handles.map(storedTypeName));
    this.#refold = new Refold(model, nothingHeld, wanted);
  }

  get through(): Position {
    return this.#through;
  }

  /** Rows made so far. */
  get folded(): number {
    return this.#refold.rows.size;
  }

  /** Takes stored rows; those of other slices are left out. */
  store(rows: readonly PositionedRow[]): void {
    for (const row of rows) {
      const text = keyText(row.key);
      if (this.#wanted(text)) this.#rows.set(text, row);
    }
  }

  /** The moment at which these rows were stored. */
  begin(through: Position, holds: Holds): void {
    this.#through = through;
    this.#refold = new Refold(this.#model, holds, this.#wanted);
    if (this.#model.name === balance.name) this.#ledgers = new AccountLedgers(holds, this.#wanted);
  }

  /** The next event of the log. */
  take(event: RecordedEvent): void {
    if (!this.#types.has(event.type) || comparePositions(event.position, this.#through) > 0) return;
    this.#events++;
    this.#refold.take(event);
    this.#ledgers?.take(event);
  }

  /** Adds to what earlier slices have shown. */
  end(tables: Map<string, AuditedTable>, money: Map<string, CurrencyMoney>): void {
    const { name } = this.#model;
    const before = tables.get(name);
    let [count, examples] = [before?.differences ?? 0, before?.examples ?? []];
    for (const found of this.#differences()) {
      count++;
      if (examples.length < mostExamples) examples = [...examples, ...found];
    }
    tables.set(name, {
      readModel: name,
      generation: this.#generation,
      through: this.#through,
      rows: (before?.rows ?? 0) + this.#rows.size,
      events: this.#events,
      differences: count,
      examples,
    });
    this.#addMoney(money);
  }

  *#differences(): Generator<readonly Difference[], void, undefined> {
    const { rows, failures } = this.#refold;
    for (const [what, why] of failures) {
      if (!what.includes('\0') && !this.#wanted(what)) continue;
      yield [
        {
          key: what.includes('\0') ? what.split('\0').slice(0, -1) : [what],
          column: 'fold',
          stored: undefined,
          right: why,
        },
      ];
    }
    for (const [text, stored] of this.#rows) {
      if (this.#refold.excepts(text) || failures.has(text)) continue;
      const found = [
        ...differences(stored.key, stored, rows.get(text)),
        ...(this.#ledgers?.differences(stored.key, stored.row) ?? []),
      ];
      if (found.length > 0) yield found;
    }
    for (const [text, right] of rows) {
      if (this.#rows.has(text) || this.#refold.excepts(text)) continue;
      yield differences(right.key, undefined, right);
    }
  }

  #addMoney(money: Map<string, CurrencyMoney>): void {
    const ledgers = this.#ledgers;
    if (!ledgers) return;
    const add = (currency: string, stored: Ledger, right: Ledger): void => {
      const before = money.get(currency);
      const sums = {
        stored: plus(before?.stored ?? emptyLedger, stored),
        right: plus(before?.right ?? emptyLedger, right),
      };
      money.set(currency, { currency, ...sums, imbalance: imbalance(sums.stored, sums.right) });
    };
    for (const [text, { key, row }] of this.#rows) {
      if (!this.#refold.excepts(text)) add(String(key[1]), ledgerOf(holdingsIn(row)), ledgers.of(text));
    }
    for (const [text, { key }] of this.#refold.rows) {
      if (!this.#rows.has(text) && !this.#refold.excepts(text))
        add(String(key[1]), emptyLedger, ledgers.of(text));
    }
  }
}
