/**
 * Read models that only add: an event is a set of amounts for some rows, and a row is the sum of them. Such a row
 * depends neither on the order of events nor on how they were cut into batches, so late events correct it by
 * themselves.
 */
import type { EventType } from '../../domain/events.ts';
import type { Columns, Key, LoggedEvent, NamesColumns, ReadModel, RowOf } from './read-model.ts';
import { keyText } from './row-key.ts';

/** What an event adds to one row. */
export interface Addition<N extends string> {
  readonly key: Key;
  readonly amounts: Readonly<Partial<Record<N, bigint>>>;
}

/** Names of the columns that are added up. */
type SumColumn<C extends Columns> = { [K in keyof C & string]: C[K] extends 'bigint' ? K : never }[keyof C &
  string];

export interface AdditiveModel<C extends Columns, T extends EventType> extends Omit<
  ReadModel<C, T>,
  'keys' | 'fold' | 'appendOnly'
> {
  /** What the event adds; several additions to one row are summed. A row no event adds anything to is not made. */
  additions(logged: LoggedEvent<T>): readonly Addition<SumColumn<C>>[];
  /** The row of a key before the first event. */
  empty(key: Key): RowOf<C>;
}

type Amounts = Map<string, bigint>;

/**
 * A key as `keys` makes it: with what the event adds to its row, so that `fold` need not work it out again. (Held
 * by the key and not in a WeakMap, which the garbage collector pays dearly for at these rates.)
 */
type Share = Key & { readonly amounts: Amounts };

const isShare = (key: Key): key is Share => 'amounts' in key && key.amounts instanceof Map;

export function additive<const C extends Columns, const T extends EventType>(
  model: AdditiveModel<C, T> & NamesColumns<C>,
): ReadModel<C, T> {
  const { additions, empty, ...declaration } = model;
  const shares = (logged: LoggedEvent<T>): readonly Share[] => sharesOf(additions(logged));
  return {
    ...declaration,
    keys: shares,
    fold(row, logged, key) {
      const share = isShare(key) ? key : shares(logged).find((one) => keyText(one) === keyText(key));
      return share ? added(row ?? empty(key), share.amounts) : row;
    },
  };
}

function sharesOf(additions: readonly Addition<string>[]): readonly Share[] {
  const rows = new Map<string, Share>();
  for (const { key, amounts } of additions) {
    const text = keyText(key);
    let share = rows.get(text);
    if (!share) {
      share = Object.assign([...key], { amounts: new Map<string, bigint>() });
      rows.set(text, share);
    }
    for (const column in amounts) {
      const amount = amounts[column];
      if (amount !== undefined) share.amounts.set(column, (share.amounts.get(column) ?? 0n) + amount);
    }
  }
  const shares: Share[] = [];
  for (const share of rows.values()) {
    for (const [column, amount] of share.amounts) if (amount === 0n) share.amounts.delete(column);
    if (share.amounts.size > 0) shares.push(share);
  }
  return shares;
}

function added<C extends Columns>(row: RowOf<C>, amounts: Amounts): RowOf<C> {
  const sums: Record<string, RowOf<Columns>[string]> = { ...row };
  for (const [column, amount] of amounts) {
    const before = sums[column];
    if (typeof before !== 'bigint') throw new TypeError(`${column} is not a sum`);
    sums[column] = before + amount;
  }
  // Only sums were replaced, by sums: still a row of these columns, which the compiler cannot follow.
  return sums as RowOf<C>;
}
