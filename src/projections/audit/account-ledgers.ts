/** What the amounts in the log say of single accounts. */
import type { RecordedEvent } from '../../eventstore/port.ts';
import { errorText } from '../engine/errors.ts';
import type { AnyRow, Key } from '../engine/read-model.ts';
import { keyText } from '../engine/row-key.ts';
import { type Difference, keyTexts } from './difference.ts';
import type { Holds } from './holds.ts';
import {
  emptyLedger,
  type Holdings,
  type Ledger,
  ledgerDifferences,
  ledgerOf,
  posted,
  readableMoneyEvent,
} from './money.ts';

export class AccountLedgers {
  readonly #holds: Holds;
  readonly #wanted: (keyText: string) => boolean;
  readonly #ledgers = new Map<string, Ledger>();
  /** By row: why its amounts cannot be added up. */
  readonly #failures = new Map<string, string>();

  /** Of the rows that are wanted. */
  constructor(holds: Holds, wanted: (keyText: string) => boolean) {
    this.#holds = holds;
    this.#wanted = wanted;
  }

  /** What cannot be read is a failure of the fold, and said there. */
  take(stored: RecordedEvent): void {
    const { commit } = stored.position;
    if (this.#holds.holdsStream(stored.stream, commit)) return;
    const event = readableMoneyEvent(stored);
    if (!event) return;
    const text = keyText([event.data.member, event.data.currency]);
    if (!this.#wanted(text) || this.#holds.holdsRow(text, commit)) return;
    try {
      this.#ledgers.set(text, posted(this.of(text), event));
    } catch (error) {
      this.#failures.set(text, errorText(error));
    }
  }

  of(text: string): Ledger {
    return this.#ledgers.get(text) ?? emptyLedger;
  }

  differences(key: Key, row: AnyRow): readonly Difference[] {
    const text = keyText(key);
    const failure = this.#failures.get(text);
    if (failure !== undefined)
      return [{ key: keyTexts(key), column: 'amounts', stored: undefined, right: failure }];
    return ledgerDifferences(key, ledgerOf(holdingsIn(row)), this.of(text));
  }
}

/** The money in a row of balances. */
export function holdingsIn(row: AnyRow): Holdings {
  const amount = (column: keyof Holdings): bigint => {
    const value = row[column];
    if (typeof value !== 'bigint') throw new TypeError(`${column} is not an amount`);
    return value;
  };
  return {
    pending_minor: amount('pending_minor'),
    available_minor: amount('available_minor'),
    reserved_minor: amount('reserved_minor'),
    paid_minor: amount('paid_minor'),
    debt_minor: amount('debt_minor'),
    accrued_minor: amount('accrued_minor'),
    reversed_minor: amount('reversed_minor'),
    adjusted_minor: amount('adjusted_minor'),
  };
}
