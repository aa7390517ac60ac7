/**
 * Every read model once more, from the log alone. Plain code of its own: it shares neither folds nor running
 * balances with the server, so that the two can only agree by both being right.
 */
import { decodeEvent } from '../../domain/codec.ts';
import { accountRecomputation } from './recompute-accounts.ts';
import { itemRecomputation } from './recompute-items.ts';
import { orderRecomputation } from './recompute-orders.ts';
import { tradeRecomputation } from './recompute-trade.ts';
import type { Table } from './table.ts';

/** A stored event, as far as it is needed here. */
export interface LogEntry {
  readonly type: string;
  readonly data: string;
  readonly revision: number;
}

export interface Recomputed {
  readonly events: number;
  readonly balances: Table;
  readonly statements: Table;
  readonly stock: Table;
  readonly orders: Table;
  readonly windows: Table;
  readonly boards: Table;
}

export async function recompute(log: AsyncIterable<LogEntry> | Iterable<LogEntry>): Promise<Recomputed> {
  const accounts = accountRecomputation();
  const items = itemRecomputation();
  const orders = orderRecomputation();
  const trade = tradeRecomputation();
  let events = 0;
  for await (const entry of log) {
    const event = decodeEvent(entry);
    events += 1;
    accounts.add(event, entry.revision);
    items.add(event, entry.revision);
    orders.add(event);
    trade.add(event);
  }
  return { events, ...accounts.tables(), stock: items.table(), orders: orders.table(), ...trade.tables() };
}
