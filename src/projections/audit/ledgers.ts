/** What all amounts in the log come to, by currency, kept up to date event by event. */
import type { Position, RecordedEvent } from '../../eventstore/port.ts';
import { logStart } from '../../eventstore/port.ts';
import type { Difference } from './difference.ts';
import {
  emptyLedger,
  type Holdings,
  imbalance,
  type Ledger,
  ledgerDifferences,
  ledgerFrom,
  ledgerOf,
  ledgerTexts,
  posted,
  readableMoneyEvent,
} from './money.ts';

export interface ComparedCurrency {
  readonly currency: string;
  readonly imbalance: bigint;
  readonly found: readonly Difference[];
}

export class Ledgers {
  readonly #ledgers = new Map<string, Ledger>();
  #position: Position = logStart;

  /** All amounts up to here are in. */
  get position(): Position {
    return this.#position;
  }

  /** The events that come next, up to a position. What cannot be read is parked: then totals are not compared. */
  take(events: readonly RecordedEvent[], through: Position): void {
    for (const stored of events) {
      const event = readableMoneyEvent(stored);
      if (!event) continue;
      const { currency } = event.data;
      this.#ledgers.set(currency, posted(this.#ledgers.get(currency) ?? emptyLedger, event));
    }
    this.#position = through;
  }

  /** With the sums over all balances at the same position. */
  compare(sums: ReadonlyMap<string, Holdings>): readonly ComparedCurrency[] {
    return [...new Set([...this.#ledgers.keys(), ...sums.keys()])].toSorted().map((currency) => {
      const held = sums.get(currency);
      const [stored, right] = [
        held ? ledgerOf(held) : emptyLedger,
        this.#ledgers.get(currency) ?? emptyLedger,
      ];
      return {
        currency,
        imbalance: imbalance(stored, right),
        found: ledgerDifferences([currency], stored, right),
      };
    });
  }

  texts(): Record<string, Record<string, string>> {
    return Object.fromEntries(
      Array.from(this.#ledgers, ([currency, ledger]) => [currency, ledgerTexts(ledger)]),
    );
  }

  /** As they were left; from the start of the log if nothing is known. */
  static from(
    position: Position,
    texts: Readonly<Record<string, Readonly<Record<string, string>>>>,
  ): Ledgers {
    const ledgers = new Ledgers();
    ledgers.#position = position;
    for (const [currency, amounts] of Object.entries(texts))
      ledgers.#ledgers.set(currency, ledgerFrom(amounts));
    return ledgers;
  }
}
